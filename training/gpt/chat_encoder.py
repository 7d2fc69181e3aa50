"""Conversations as token ids, by a chat template and the vocabulary that goes with it.

This is the only place where a conversation becomes what a model reads, so that generation, the policy
gradient, DPO, supervised fine-tuning and reward models all see the same tokens.
"""

import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

from tokenizers import Tokenizer as Backend

from training.formats.messages import Message
from training.gpt.chat_template import GUARD, ChatTemplate, Rendered, guard
from training.gpt.errors import InputError

_PROBE = "?!"  # a content whose place in a rendered conversation is easily found


class Turn(NamedTuple):
    """A turn of the assistant as ids: what precedes it, and the turn with the token that ends it.

    Where earlier turns are in `completion` too, `learned` says for each of its tokens whether the assistant
    wrote it; else it wrote them all.
    """

    prompt: list[int]
    completion: list[int]
    learned: list[bool] | None = None


class _Encoding(NamedTuple):
    ids: list[int]
    places: list[tuple[int, int]]  # of each token in the text


class ChatEncoder:
    """A chat template with the vocabulary of its model.

    As in `transformers`, what the template writes may spell special tokens, and no token is added to it; so
    a text begins with the token that begins a text only if the template says so. Special tokens that the
    content of a message spells stay text: nobody can forge a turn.
    """

    def __init__(self, template: ChatTemplate, backend: Backend, *, eos_ids: Sequence[int]) -> None:
        """`eos_ids` end a text, `eos_ids[0]` where the template itself writes no end."""
        self.template, self.eos_ids = template, tuple(eos_ids)
        self._text_backend = backend  # reads special tokens as text
        self._backend = Backend.from_str(backend.to_str())
        self._backend.no_truncation()
        self._backend.no_padding()
        self._backend.encode_special_tokens = False
        self._special = {
            token.content: number
            for number, token in backend.get_added_tokens_decoder().items()
            if token.special and token.content
        }

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        """The ids of a conversation that the assistant is to answer."""
        return self._encode(self._render(messages, add_generation_prompt=True).text).ids

    def text(self, messages: Sequence[Message]) -> list[int]:
        """The ids of a whole conversation."""
        return self._encode(self._render(messages).text).ids

    def turn(self, messages: Sequence[Message], content: str) -> Turn:
        """A conversation, and its answer by the assistant with the token that ends it.

        Most templates write a conversation with its answer as they write it alone, and then the answer. One
        that does not, such as one whose generation prompt begins a thought, gets the answer as the policy
        would have written it: right after the generation prompt.
        """
        before = self._render(messages, add_generation_prompt=True).text
        whole = self._render([*messages, {"role": "assistant", "content": content}]).text
        prompt = self._encode(before).ids
        if whole.startswith(before):
            answer = whole[len(before) :]
            ids = self._encode(whole).ids
            completion = ids[len(prompt) :]
            if ids[: len(prompt)] != prompt:  # a token spans both: the policy could not have written it
                completion = self._encode(answer).ids
        else:
            completion = self._encode(guard(content, list(self._special))).ids
        return Turn(prompt, self._up_to_end(completion))

    def turns(self, messages: Sequence[Message]) -> list[Turn]:
        """All turns of the assistant in a conversation: as one sequence with a mask of what it wrote.

        What it wrote is what the template's `{% generation %}` encloses; in a template without it, what a
        turn adds to the conversation before it, up to the token that ends it. Where a template then writes
        earlier turns in another way, such as without their thoughts, each turn is a sequence of its own.
        Raises InputError for a conversation without a turn of the assistant.
        """
        whole = self._render(messages)
        if "assistant" not in {message["role"] for message in messages}:
            raise InputError("messages: no turn of the assistant is in the conversation; give at least one")
        spans = whole.generated if self.marks_generation else self._added_spans(messages, whole.text)
        if spans is None:
            return [
                self.turn(messages[:place], message["content"])
                for place, message in enumerate(messages)
                if message["role"] == "assistant"
            ]
        ids, places = self._encode(whole.text)
        learned = [any(begin < last and first < end for begin, end in spans) for first, last in places]
        if not any(learned):
            raise InputError("chat template: writes nothing of what the assistant says in a conversation")
        first = max(1, learned.index(True))
        last = len(learned) - learned[::-1].index(True)
        completion, learned = ids[first:last], learned[first:last]
        if self.end_id is None and not self.marks_generation:
            completion, learned = [*completion, self.eos_ids[0]], [*learned, True]
        return [Turn(ids[:first], completion, learned)]

    @cached_property
    def marks_generation(self) -> bool:
        """Whether the template itself says what the assistant generates."""
        question: list[Message] = [{"role": "user", "content": "?"}]
        return bool(self._render([*question, {"role": "assistant", "content": _PROBE}]).generated)

    @cached_property
    def opening(self) -> str:
        """What the template writes between its generation prompt and an answer, such as a space."""
        return self._around[0]

    @cached_property
    def end_id(self) -> int | None:
        """The first special token after an answer, which ends the turn; None if there is none."""
        ids = self._encode(self._around[1]).ids
        special = set(self._special.values())
        return next((each for each in ids if each in special), None)

    @cached_property
    def _around(self) -> tuple[str, str]:
        """What stands before and behind the content of an answer, after the generation prompt."""
        question: list[Message] = [{"role": "user", "content": "?"}]
        before = self._render(question, add_generation_prompt=True).text
        whole = self._render([*question, {"role": "assistant", "content": _PROBE}]).text
        opening, _, closing = whole.rpartition(_PROBE)
        return opening.removeprefix(before) if opening.startswith(before) else "", closing

    def _render(self, messages: Sequence[Message], *, add_generation_prompt: bool = False) -> Rendered:
        return self.template.render(
            messages, add_generation_prompt=add_generation_prompt, guarded=list(self._special)
        )

    def _added_spans(self, messages: Sequence[Message], whole: str) -> list[tuple[int, int]] | None:
        """Where each turn of the assistant is in the text; None if a text does not begin as those before."""
        spans = []
        for place, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            before = self._render(messages[:place], add_generation_prompt=True).text if place else ""
            after = self._render(messages[: place + 1]).text
            end = len(before) + self._end_of_turn(after[len(before) :])
            if not (after.startswith(before) and whole.startswith(after[:end])):
                return None
            spans.append((len(before), end))
        return spans

    def _end_of_turn(self, text: str) -> int:
        """The length of a turn up to the token that ends it."""
        ends = [self._backend.id_to_token(each) for each in self.eos_ids]
        found = [text.find(end) + len(end) for end in ends if end and end in text]
        return min(found, default=len(text))

    def _up_to_end(self, ids: Sequence[int]) -> list[int]:
        """The ids of an answer up to the first token that ends it; one is added if there is none."""
        for place, each in enumerate(ids):
            if each in self.eos_ids:
                return list(ids[: place + 1])
        return [*ids, self.eos_ids[0] if self.end_id is None else self.end_id]

    def write(self, messages: Sequence[Message]) -> str:
        """A whole conversation as text, in which a guard keeps contents from spelling special tokens."""
        return self._render(messages).text

    def encode_written(self, text: str) -> list[int]:
        """The ids of what `write` wrote, or of a piece of it."""
        return self._encode(text).ids

    def _encode(self, text: str) -> _Encoding:
        if GUARD not in text:
            encoded = self._backend.encode(text, add_special_tokens=False)
            return _Encoding(encoded.ids, encoded.offsets)
        ids: list[int] = []
        places: list[tuple[int, int]] = []
        for piece, start, number in self._pieces(text):
            if number is not None:
                ids.append(number)
                places.append((start, start + len(piece)))
                continue
            kept = [start + place for place, character in enumerate(piece) if character != GUARD]
            encoded = self._text_backend.encode(piece.replace(GUARD, ""), add_special_tokens=False)
            ids += encoded.ids
            places += [(kept[first], kept[max(first, last - 1)] + 1) for first, last in encoded.offsets]
        return _Encoding(ids, places)

    def _pieces(self, text: str) -> Iterator[tuple[str, int, int | None]]:
        """The special tokens in a text and what stands between them, each with its place."""
        longest_first = sorted(self._special, key=len, reverse=True)
        before = 0
        for match in re.finditer("|".join(map(re.escape, longest_first)), text):
            if before < match.start():
                yield text[before : match.start()], before, None
            yield match[0], match.start(), self._special[match[0]]
            before = match.end()
        if before < len(text):
            yield text[before:], before, None
