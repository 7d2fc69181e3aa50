"""Stop strings: texts that end a completion and do not belong to it."""

from collections.abc import Sequence


def find_stop_string(text: str, stops: Sequence[str]) -> int | None:
    """Where the first of ``stops`` that ``text`` contains begins; None if it contains none."""
    return min((place for stop in stops if (place := text.find(stop)) >= 0), default=None)


class StopStringMatcher:
    """Looks for stop strings in text that comes in pieces.

    Text that may be the beginning of a stop string is held back. Once a stop string is complete, ``stopped``
    is set, and neither it nor what follows is returned.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self.stopped = False
        self._stops = tuple(stops)
        self._held = ""

    def add(self, piece: str) -> str:
        """Take the next piece; return the text that is certain not to belong to a stop string."""
        if not self._stops:
            return piece
        text = self._held + piece
        size = find_stop_string(text, self._stops)
        if size is None:
            size = len(text) - self._possible_stop_length(text)
            self._held = text[size:]
        else:
            self.stopped, self._held = True, ""
        return text[:size]

    def flush(self) -> str:
        """The text held back, when no more follows."""
        text, self._held = self._held, ""
        return text

    def _possible_stop_length(self, text: str) -> int:
        """The length of the longest end of ``text`` that a stop string begins with."""
        longest = min(len(text), max(map(len, self._stops)) - 1)
        return next(
            (
                size
                for size in range(longest, 0, -1)
                if any(stop.startswith(text[-size:]) for stop in self._stops)
            ),
            0,
        )
