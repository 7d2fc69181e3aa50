"""What is done to documents before they are counted: normalised, too short ones and repeated ones dropped."""

import re
import unicodedata
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

_BLANKS = re.compile(r"[^\S\n]+")
_BLANK_LINES = re.compile(r" ?\n ?(?:\n ?)+")
_LINE_ENDS = re.compile(r" ?\n ?")


def normalise(text: str, how: str) -> str:
    """Compose characters (``nfc``, ``space``), and make runs of blanks and of blank lines one (``space``)."""
    if how == "none":
        return text
    text = unicodedata.normalize("NFC", text)
    if how == "space":
        text = _BLANKS.sub(" ", text)
        # Blank lines first, kept apart by a character that no text has after the first rule.
        text = _LINE_ENDS.sub("\n", _BLANK_LINES.sub("\r", text)).replace("\r", "\n\n")
    return text


@dataclass
class CompactKeySet:
    """A set of 64-bit keys in little memory: some 12 bytes for each, where Python's own takes 80."""

    _sorted: npt.NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, dtype=np.uint64))
    _recent: set[int] = field(default_factory=set)

    def add(self, key: int) -> bool:
        """Add a key; False if it was there."""
        if key in self._recent:
            return False
        place = int(np.searchsorted(self._sorted, np.uint64(key)))
        if place < len(self._sorted) and int(self._sorted[place]) == key:
            return False
        self._recent.add(key)
        if len(self._recent) > max(2**14, len(self._sorted) // 16):
            recent = np.fromiter(self._recent, dtype=np.uint64, count=len(self._recent))
            self._recent.clear()
            self._sorted = np.concatenate([self._sorted, recent])
            self._sorted.sort()
        return True
