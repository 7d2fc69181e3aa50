"""Text to token ids and back: byte-level BPE, characters, or whole words."""

import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers import Tokenizer as Backend

from training.formats.conversation import Conversation
from training.formats.messages import Message, completion_content, completion_text
from training.gpt.chat_encoder import ChatEncoder, Turn
from training.gpt.chat_template import GUARD, PLAIN_TEMPLATE, ChatTemplate
from training.gpt.config import TokenizerConfig
from training.gpt.errors import InputError

END_OF_TEXT = "<|endoftext|>"
PAD = "<|pad|>"
UNKNOWN = "<unk>"
MAX_SHOWN = 60  # characters of a prompt in an error

_OWN_TEMPLATE = ChatTemplate(PLAIN_TEMPLATE, {"bos_token": END_OF_TEXT, "eos_token": END_OF_TEXT})
_UNKNOWN_WORD = re.compile(UNKNOWN, re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class SpecialTokens:
    """The ids that end, begin and pad a text. A ``tokenizer.json`` lacks them, so models store them beside
    it."""

    end: tuple[int, ...]
    begin: int | None = None
    pad: int | None = None

    def __post_init__(self) -> None:
        if not self.end:
            raise InputError("special_tokens: none ends a text; name one (eos_token)")

    @classmethod
    def from_dict(cls, values: Any) -> Self:
        """Read what ``dataclasses.asdict`` and JSON made of it; raise ``InputError`` if it is not that."""
        try:
            end, begin, pad = tuple(values["end"]), values["begin"], values["pad"]
        except (KeyError, TypeError):
            raise InputError("config.json: special_tokens does not say what ends, begins and pads") from None
        if any(type(each) is not int or each < 0 for each in (*end, begin or 0, pad or 0)):
            raise InputError(f"config.json: special_tokens holds what is no id: {values}")
        return cls(end=end, begin=begin, pad=pad)


class Tokenizer:
    """A tokenizer, trained here or from an imported model.

    ``eos_id`` ends every document; ``eos_ids`` are all tokens that end a completion, that one first.
    ``bos_id`` comes before the first token, so that an empty prompt is valid too; a vocabulary without one,
    like those trained here, uses ``eos_id``, the end of the previous text. ``pad_id`` is never among
    ``eos_ids``, so that padding is not taken for the end of a text. A vocabulary without a padding token uses
    an ordinary one: masks mark padding, not the id.

    With a chat template, prompts that are a `Conversation` are read through it; with `always_chat`,
    any other prompt too, as one turn of the user. An empty prompt is always text.
    """

    def __init__(
        self,
        backend: Backend,
        special: SpecialTokens,
        *,
        chat_template: ChatTemplate | None = None,
        always_chat: bool = False,
    ) -> None:
        # Files keep the settings of their last user.
        backend.no_truncation()
        backend.no_padding()
        # Text that spells a special token stays text. This setting is not stored in the JSON.
        backend.encode_special_tokens = True
        self._backend = backend
        self.special = special
        self.eos_ids = special.end
        self.eos_id = special.end[0]
        self.bos_id = self.eos_id if special.begin is None else special.begin
        pad = None if special.pad in special.end else special.pad
        free = (each for each in range(len(special.end) + 1) if each not in special.end)
        self.pad_id = next(free) if pad is None else pad
        unknown = getattr(backend.model, "unk_token", None)
        self.unknown_id: int | None = None if unknown is None else backend.token_to_id(unknown)
        self.chat_template = chat_template
        self.always_chat = always_chat and chat_template is not None

    @classmethod
    def train(cls, texts: Iterable[str], config: TokenizerConfig) -> "Tokenizer":
        """Train a vocabulary of at most ``config.vocab_size`` ids on ``texts``."""
        backend, trainer = _BUILDERS[config.tokenizer](config.vocab_size)
        if config.tokenizer == "word":
            # WikiText spells unknown words like this: the token itself, not a word to count.
            texts = (_UNKNOWN_WORD.sub(" ", text) for text in texts)
        # In conversations the tokens that end a turn are written out: they are no words to learn.
        texts = (text.replace(END_OF_TEXT, "").replace(GUARD, "") for text in texts)
        backend.train_from_iterator(texts, trainer)
        return cls(backend, own_special_tokens(backend))

    @cached_property
    def vocab_size(self) -> int:
        """The number of ids to embed: one more than the largest, special tokens included."""
        return 1 + max(self._backend.get_vocab(with_added_tokens=True).values())

    def token(self, token_id: int) -> str:
        """How the vocabulary spells an id. Embeddings may have more rows than there are tokens: an id without
        one is spelled by its number, and decoded to nothing."""
        spelled: str | None = self._backend.id_to_token(token_id)
        return f"<id {token_id}>" if spelled is None else spelled

    def encode(self, text: str) -> list[int]:
        """Token ids of ``text`` alone, without special tokens."""
        return self._backend.encode(text, add_special_tokens=False).ids

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """``encode`` for many texts, on all cores."""
        return [
            encoding.ids
            for encoding in self._backend.encode_batch_fast(list(texts), add_special_tokens=False)
        ]

    def decode(self, ids: Sequence[int]) -> str:
        """Text of token ids; special tokens are dropped."""
        return self._backend.decode(list(ids), skip_special_tokens=True)

    def prompt(self, prompt: str) -> list[int]:
        """Ids to give a model so that it continues a text, or answers a conversation.

        Before a text stands the token that begins one; of a conversation, what its template writes.
        """
        messages = self.messages(prompt)
        if messages is not None:
            with _naming(prompt):
                return self.chat.prompt(messages)
        return [self.bos_id, *self.encode(prompt)]

    def encode_turns(self, prompts: Sequence[str], completions: Sequence[str]) -> list[Turn]:
        """Ids of each prompt and of its completion, which the token that ends it follows.

        A completion carries the space that stands between it and its prompt's text.
        """
        texts = iter(self.encode_batch(completions))
        turns = []
        for prompt, completion, ids in zip(prompts, completions, texts, strict=True):
            turn = self._turn(prompt, completion)
            turns.append(turn or Turn(self.prompt(prompt), [*ids, self.eos_id]))
        return turns

    def encode_texts(self, prompts: Sequence[str], completions: Sequence[str]) -> list[list[int]]:
        """Ids of each prompt with its completion as one text, with the tokens that begin and end it."""
        rows = []
        texts = [prompt + completion for prompt, completion in zip(prompts, completions, strict=True)]
        plain = iter(self.encode_batch(texts))
        for prompt, completion, ids in zip(prompts, completions, plain, strict=True):
            turn = self._turn(prompt, completion)
            rows.append([*turn.prompt, *turn.completion] if turn else [self.bos_id, *ids, self.eos_id])
        return rows

    def _turn(self, prompt: str, completion: str) -> Turn | None:
        """The ids of a conversation and its answer; None for a prompt that is text."""
        messages = self.messages(prompt)
        if messages is None:
            return None
        with _naming(prompt):
            return self.chat.turn(messages, completion_content(completion))

    def continuation(self, prompt: Sequence[int], ids: Sequence[int]) -> str:
        """Text that ``ids`` add to ``prompt``, with the space that stands between them, if any."""
        before, whole = self.decode(prompt), self.decode([*prompt, *ids])
        return whole[len(before) :] if whole.startswith(before) else self.decode(ids)

    def completion(self, prompt: str, prompt_ids: Sequence[int], ids: Sequence[int]) -> str:
        """What ``ids`` write after ``prompt``: the continuation of a text, or after a space an answer.

        An empty answer is an empty text.
        """
        text = self.continuation(prompt_ids, ids)
        if self.messages(prompt) is None:
            return text
        content = text.removeprefix(self.chat.opening)
        return completion_text(content) if content else ""

    def messages(self, prompt: str) -> Sequence[Message] | None:
        """The messages of a prompt that is read through the chat template; None for one that is text."""
        if self.chat_template is not None and isinstance(prompt, Conversation):
            return prompt.messages
        return [{"role": "user", "content": prompt}] if self.always_chat and prompt else None

    @cached_property
    def chat(self) -> ChatEncoder:
        """The chat template with this vocabulary; raise ``InputError`` if there is none."""
        if self.chat_template is None:
            raise InputError(
                "chat: the policy has no chat template; `pretrain --chat` gives it one, and `import_model`"
                " keeps that of a folder"
            )
        return ChatEncoder(self.chat_template, self._backend, eos_ids=self.eos_ids)

    def write_conversation(self, messages: Sequence[Message]) -> str:
        """A conversation as its template writes it, for ``encode_conversations``."""
        return self.chat.write(messages)

    def encode_conversations(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of conversations, or pieces of them, that ``write_conversation`` wrote."""
        if self.chat_template is None:
            own = self.with_chat(always=True, template=self.plain_chat_template())
            return own.encode_conversations(texts)
        return [self.chat.encode_written(text) for text in texts]

    def with_chat(self, *, always: bool, template: ChatTemplate | None = None) -> "Tokenizer":
        """This tokenizer with another chat template, or its own; ``always`` reads every prompt through it."""
        return Tokenizer(
            self._backend, self.special, chat_template=template or self.chat_template, always_chat=always
        )

    def plain_chat_template(self) -> ChatTemplate:
        """The template for a model that was published without one; see ``PLAIN_TEMPLATE``."""
        tokens = {"bos_token": self.token(self.bos_id), "eos_token": self.token(self.eos_id)}
        return ChatTemplate(PLAIN_TEMPLATE, tokens)

    @property
    def fingerprint(self) -> str:
        """A hash that changes when the ids of a text might."""
        chat = f"\0{self.chat_template}" if self.chat_template else ""
        return sha256(f"{self._backend.to_str()}\0{self.special}{chat}".encode()).hexdigest()

    def save(self, path: Path) -> None:
        """Write ``tokenizer.json``."""
        self._backend.save(str(path))

    @classmethod
    def load(
        cls,
        path: Path,
        special: SpecialTokens | None = None,
        *,
        chat_template: ChatTemplate | None = None,
        always_chat: bool = False,
    ) -> "Tokenizer":
        """Read ``tokenizer.json``; raise ``InputError`` if it is missing or broken.

        ``special`` says which tokens end, begin and pad; left out, those of tokenizers trained here.
        """
        backend = read_backend(path)
        special = special or own_special_tokens(backend)
        return cls(backend, special, chat_template=chat_template, always_chat=always_chat)


@contextmanager
def _naming(prompt: str) -> Iterator[None]:
    """Errors of a chat template say in which conversation."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{error}; the conversation begins “{beginning(prompt)}”") from None


def beginning(prompt: str) -> str:
    """The first words of a prompt, on one line, to name it in an error."""
    return textwrap.shorten(prompt, MAX_SHOWN, placeholder="…")


def write_plain_conversation(messages: Sequence[Message]) -> str:
    """A conversation as the plain template writes it for a tokenizer that is trained here."""
    return _OWN_TEMPLATE.render(messages, guarded=[END_OF_TEXT, PAD]).text


def read_backend(path: Path) -> Backend:
    """The vocabulary in a ``tokenizer.json``."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; a model folder needs its tokenizer.json")
    try:
        return Backend.from_file(str(path))
    except Exception as error:  # the backend raises bare Exception
        raise InputError(f"{path}: not a tokenizer ({error}); copy the file again") from error


def own_special_tokens(backend: Backend) -> SpecialTokens:
    """The special tokens of a vocabulary trained here; raise ``InputError`` if it lacks one."""
    end, pad = backend.token_to_id(END_OF_TEXT), backend.token_to_id(PAD)
    if end is None or pad is None:
        raise InputError(f"tokenizer.json: has no {END_OF_TEXT if end is None else PAD} token")
    return SpecialTokens(end=(end,), pad=pad)


_BackendAndTrainer = tuple[Backend, trainers.BpeTrainer | trainers.WordLevelTrainer]


def _bpe(vocab_size: int) -> _BackendAndTrainer:
    backend = Backend(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END_OF_TEXT, PAD],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    return backend, trainer


def _char(vocab_size: int) -> _BackendAndTrainer:
    backend = Backend(models.WordLevel(vocab={UNKNOWN: 0}, unk_token=UNKNOWN))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), behavior="isolated")
    backend.decoder = decoders.Fuse()
    return backend, _word_level_trainer(vocab_size)


def _word(vocab_size: int) -> _BackendAndTrainer:
    """Lower case, punctuation apart, quotes and colons dropped: the "basic English" rules of torchtext."""
    backend = Backend(models.WordLevel(vocab={UNKNOWN: 0}, unk_token=UNKNOWN))
    backend.normalizer = normalizers.Sequence(
        [
            normalizers.Lowercase(),
            normalizers.Replace("<|", "< |"),  # text must not become a special token
            normalizers.Replace("<br />", " "),
            normalizers.Replace('"', ""),
            normalizers.Replace(Regex("[;:]"), " "),
        ]
    )
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex("[.,()!?']"), behavior="isolated"), pre_tokenizers.WhitespaceSplit()]
    )
    return backend, _word_level_trainer(vocab_size)


def _word_level_trainer(vocab_size: int) -> trainers.WordLevelTrainer:
    return trainers.WordLevelTrainer(
        vocab_size=vocab_size, special_tokens=[END_OF_TEXT, PAD, UNKNOWN], show_progress=False
    )


_BUILDERS = {"bpe": _bpe, "char": _char, "word": _word}
