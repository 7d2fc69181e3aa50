"""Text to token ids and back: byte-level BPE, characters, or whole words."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers import Tokenizer as Backend

from training.gpt.config import TokenizerConfig
from training.gpt.errors import InputError

END_OF_TEXT = "<|endoftext|>"
PAD = "<|pad|>"
UNKNOWN = "<unk>"


class Tokenizer:
    """A trained vocabulary.

    ``<|endoftext|>`` ends every document and also stands before its first token, so that an empty prompt is a
    prompt too. The pad id is never the end id: a model must be able to tell where its own text stopped.
    """

    def __init__(self, backend: Backend) -> None:
        end = backend.token_to_id(END_OF_TEXT)
        pad = backend.token_to_id(PAD)
        if end is None or pad is None:
            raise InputError(f"tokenizer.json: has no {END_OF_TEXT if end is None else PAD} token")
        # Text that happens to spell a special token stays text. Not part of the JSON, hence set here.
        backend.encode_special_tokens = True
        self._backend = backend
        self.eos_id: int = end
        self.pad_id: int = pad
        self.unknown_id: int | None = backend.token_to_id(UNKNOWN)

    @classmethod
    def train(cls, texts: Iterable[str], config: TokenizerConfig) -> "Tokenizer":
        """Count a vocabulary of at most ``config.vocab_size`` ids over ``texts``."""
        backend, trainer = _BUILDERS[config.tokenizer](config.vocab_size)
        backend.train_from_iterator(texts, trainer)
        return cls(backend)

    @property
    def vocab_size(self) -> int:
        """Number of token ids, special tokens included."""
        return self._backend.get_vocab_size(with_added_tokens=True)

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

    def prompt(self, text: str) -> list[int]:
        """Ids to give a model so that it continues ``text``: the end of what came before, then the text."""
        return [self.eos_id, *self.encode(text)]

    def continuation(self, prompt: Sequence[int], ids: Sequence[int]) -> str:
        """Text that ``ids`` add to ``prompt``, with the space that stands between them, if any."""
        before, whole = self.decode(prompt), self.decode([*prompt, *ids])
        return whole[len(before) :] if whole.startswith(before) else self.decode(ids)

    def save(self, path: Path) -> None:
        """Write ``tokenizer.json``."""
        self._backend.save(str(path))

    @classmethod
    def load(cls, path: Path) -> "Tokenizer":
        """Read ``tokenizer.json``; raise ``InputError`` if it is missing or broken."""
        if not path.is_file():
            raise InputError(f"{path}: no such file; a model folder needs its tokenizer.json")
        try:
            backend = Backend.from_file(str(path))
        except Exception as error:  # the backend raises bare Exception
            raise InputError(f"{path}: not a tokenizer ({error}); copy the file again") from error
        return cls(backend)


Built = tuple[Backend, trainers.BpeTrainer | trainers.WordLevelTrainer]


def _bpe(vocab_size: int) -> Built:
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


def _char(vocab_size: int) -> Built:
    backend = Backend(models.WordLevel(vocab={UNKNOWN: 0}, unk_token=UNKNOWN))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), behavior="isolated")
    backend.decoder = decoders.Fuse()
    return backend, _counted(vocab_size)


def _word(vocab_size: int) -> Built:
    """Lower case, punctuation apart, quotes and colons dropped: the "basic English" rules of torchtext."""
    backend = Backend(models.WordLevel(vocab={UNKNOWN: 0}, unk_token=UNKNOWN))
    backend.normalizer = normalizers.Sequence(
        [
            normalizers.Lowercase(),
            normalizers.Replace("<|", "< |"),  # a word of the text must not be a special token
            normalizers.Replace("<br />", " "),
            normalizers.Replace('"', ""),
            normalizers.Replace(Regex("[;:]"), " "),
        ]
    )
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex("[.,()!?']"), behavior="isolated"), pre_tokenizers.WhitespaceSplit()]
    )
    return backend, _counted(vocab_size)


def _counted(vocab_size: int) -> trainers.WordLevelTrainer:
    return trainers.WordLevelTrainer(
        vocab_size=vocab_size, special_tokens=[END_OF_TEXT, PAD, UNKNOWN], show_progress=False
    )


_BUILDERS = {"bpe": _bpe, "char": _char, "word": _word}
