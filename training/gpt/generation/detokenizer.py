"""Tokens to text while they are generated: only text that later tokens cannot change."""

import copy
from collections.abc import Sequence

from training.gpt.generation.stop_strings import StopStringMatcher
from training.gpt.tokenizer import Tokenizer

_REPLACEMENT = "\ufffd"
# A character has at most four bytes, so at most three of an incomplete one are there.
_MAX_INCOMPLETE_BYTES = 3


class Detokenizer:
    """Turns tokens into pieces of text that are final.

    Bytes that do not make a character yet are held back, and so is text that may become one of the stop
    strings ``stops``. When a stop string is complete, ``stopped`` is set, and neither it nor what follows is
    returned. The pieces joined are ``Tokenizer.continuation`` without an incomplete last character.

    Each step decodes only a few tokens: the last that gave text, since what precedes a word can decide
    whether a space stands before it, and those that have given none yet.
    """

    def __init__(self, tokenizer: Tokenizer, prompt: Sequence[int], stops: Sequence[str] = ()) -> None:
        self._tokenizer = tokenizer
        self.stop_strings = StopStringMatcher(stops)
        self._window = tuple(prompt)
        self._returned = tokenizer.decode(self._window)  # the part of the window's text that is final
        self._new_tokens = 0  # at the window's end, since all of its text was last final

    @property
    def stopped(self) -> bool:
        """Whether a stop string is complete."""
        return self.stop_strings.stopped

    def add(self, token: int) -> str:
        """Take the next token; return the text that is now final, often none."""
        return self.stop_strings.add(self._decode(token))

    def flush(self) -> str:
        """The text held back for a stop string, when no token follows."""
        return self.stop_strings.flush()

    def fork(self) -> "Detokenizer":
        """An independent copy of the current state."""
        fork = copy.copy(self)
        fork.stop_strings = copy.copy(self.stop_strings)
        return fork

    def _decode(self, token: int) -> str:
        self._window = (*self._window, token)
        self._new_tokens += 1
        text = self._tokenizer.decode(self._window)
        complete = strip_incomplete_character(text)
        if len(complete) < len(text):
            # Some tokenizers garble a whole run of bytes while its last character is incomplete.
            if not complete.startswith(self._returned):
                return ""
            piece, self._returned = complete[len(self._returned) :], complete
            return piece
        piece = text[len(self._returned) :]
        new_tokens = self._window[-self._new_tokens :]
        if new_text := self._tokenizer.decode(new_tokens):
            self._window, self._returned, self._new_tokens = new_tokens, new_text, 0
        else:
            self._returned = text
        return piece


def strip_incomplete_character(text: str) -> str:
    """``text`` without the incomplete character that it may end in."""
    stripped = text.rstrip(_REPLACEMENT)
    return text[: max(len(stripped), len(text) - _MAX_INCOMPLETE_BYTES)]
