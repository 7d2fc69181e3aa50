"""The text of a completion while its tokens come: only what later tokens cannot change."""

import copy
from collections.abc import Sequence

from training.gpt.tokenizer import Tokenizer

_REPLACEMENT = "\ufffd"
# A character has at most four bytes, so of an unfinished one at most three are there.
_UNFINISHED = 3


class Detokenizer:
    """Turns tokens into pieces of text that never have to be taken back.

    Held back are bytes that do not make a character yet, and text that may still become one of ``stops``.
    When such a text is complete, ``stopped`` is set, and neither it nor what follows is ever given out. The
    pieces together are what ``strip_incomplete_character`` leaves of ``Tokenizer.continuation``.

    Only a few tokens are decoded at each step: the last that gave text, as what stands before a word can
    decide its space, and those that have given none yet.
    """

    def __init__(self, tokenizer: Tokenizer, prompt: Sequence[int], stops: Sequence[str] = ()) -> None:
        self.stopped = False
        self._tokenizer = tokenizer
        self._stops = tuple(stops)
        self._window = tuple(prompt)
        self._known = tokenizer.decode(self._window)  # as much of the window's text as has been taken over
        self._fresh = 0  # tokens at the window's end since its text was last known to the end
        self._held = ""  # text that may become a stop text

    def add(self, token: int) -> str:
        """Take the next token; give the text that is now certain, often none."""
        piece = self._decoded(token)
        if not self._stops:
            return piece
        text = self._held + piece
        size = find_stop_string(text, self._stops)
        if size is None:
            size = len(text) - self._may_become_stop(text)
            self._held = text[size:]
        else:
            self.stopped, self._held = True, ""
        return text[:size]

    def end(self) -> str:
        """What was held back and is text after all, when no token follows."""
        text, self._held = self._held, ""
        return text

    def fork(self) -> "Detokenizer":
        """A copy that goes its own way from here."""
        return copy.copy(self)

    def _decoded(self, token: int) -> str:
        self._window = (*self._window, token)
        self._fresh += 1
        text = self._tokenizer.decode(self._window)
        certain = strip_incomplete_character(text)
        if len(certain) < len(text):
            # Some tokenizers spoil a whole run of bytes while its last character is unfinished.
            if not certain.startswith(self._known):
                return ""
            piece, self._known = certain[len(self._known) :], certain
            return piece
        piece = text[len(self._known) :]
        fresh = self._window[-self._fresh :]
        if alone := self._tokenizer.decode(fresh):
            self._window, self._known, self._fresh = fresh, alone, 0
        else:
            self._known = text
        return piece

    def _may_become_stop(self, text: str) -> int:
        """The length of the longest end of ``text`` that one of the stop texts begins with."""
        longest = min(len(text), max(map(len, self._stops)) - 1)
        return next(
            (
                size
                for size in range(longest, 0, -1)
                if any(stop.startswith(text[-size:]) for stop in self._stops)
            ),
            0,
        )


def strip_incomplete_character(text: str) -> str:
    """``text`` without the broken character that it may end in."""
    whole = text.rstrip(_REPLACEMENT)
    return text[: max(len(whole), len(text) - _UNFINISHED)]


def find_stop_string(text: str, stops: Sequence[str]) -> int | None:
    """Where the first of ``stops`` to be found in ``text`` begins; None if there is none."""
    return min((place for stop in stops if (place := text.find(stop)) >= 0), default=None)
