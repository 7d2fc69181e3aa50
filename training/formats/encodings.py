"""Encodings of texts, found from how a file begins; what is no text is refused by name."""

import codecs

from charset_normalizer import from_bytes

from training.formats.rows import FileProblem

ENCODINGS = {
    "utf-8": "UTF-8",
    "utf-16": "UTF-16",
    "cp1252": "Windows Western (1252)",
    "latin-1": "Latin 1",
    "gb18030": "Chinese, simplified (GB 18030)",
    "big5": "Chinese, traditional (Big5)",
    "shift_jis": "Japanese (Shift JIS)",
    "cp1251": "Windows Cyrillic (1251)",
}
BYTE_ORDER_MARKS = {  # UTF-32 first: its mark begins with that of UTF-16
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
NOT_TEXT = {
    b"%PDF": "a PDF: copy the texts out of it",
    b"\xd0\xcf\x11\xe0": "an old office document: export it as CSV",
    b"BZh": "compressed with bzip2: unpack it",
    b"\xfd7zXZ": "compressed with xz: unpack it",
    b"7z\xbc\xaf": "a 7z archive: unpack it",
    b"Rar!": "a RAR archive: unpack it",
    b"SQLite format 3": "an SQLite database: export its table as CSV",
    b"\x80\x04": "a Python pickle: write it as JSON Lines or Parquet",
    b"\x89PNG": "an image; only text can be used",
    b"\xff\xd8\xff": "an image; only text can be used",
    b"\x89HDF": "HDF5: write it as JSON Lines or Parquet",
}
MAX_GUESS_BYTES = 65_536
"""Bytes from which the encoding is guessed: enough for that, and fast."""


class EncodingUnknown(FileProblem):
    """The text is not UTF-8; `guess` is the most likely of ENCODINGS."""

    def __init__(self, guess: str, line: int) -> None:
        self.guess = guess
        super().__init__(
            f"line {line:,} is not UTF-8; it looks like {ENCODINGS[guess]}: save the file as UTF-8, "
            f"or name its encoding, as in --encoding {guess}, and check that accents and signs are right."
        )


def find_encoding(head: bytes) -> str:
    """The encoding of a text that begins so: by its byte order mark, or UTF-8.

    Raises FileProblem for what is no text, and EncodingUnknown with a guess for other encodings.
    """
    for magic, what in NOT_TEXT.items():
        if head.startswith(magic):
            raise FileProblem(f"is {what}.")
    if head[257:262] == b"ustar":
        raise FileProblem("is a tar archive: unpack it.")
    for mark, name in BYTE_ORDER_MARKS.items():
        if head.startswith(mark):
            return name
    if len(head) >= 4 and head[1::2].count(0) > 0.4 * len(head) and 0 not in head[:64:2]:
        return "utf-16-le"
    if len(head) >= 4 and head[::2].count(0) > 0.4 * len(head) and 0 not in head[1:64:2]:
        return "utf-16-be"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)  # its last character may be cut
    except UnicodeDecodeError as error:
        if head.count(0) > len(head) // 100 + 1:
            raise FileProblem("is neither a text nor a known container of rows.") from None
        raise EncodingUnknown(_guess(head), head[: error.start].count(b"\n") + 1) from None
    return "utf-8"


def check_encoding(name: str) -> str:
    """The name of an encoding that Python knows; raises FileProblem for another."""
    try:
        return codecs.lookup(name).name
    except LookupError:
        raise FileProblem(f"encoding: “{name}” is not known; try utf-8 or latin-1.") from None


def _guess(content: bytes) -> str:
    """The most likely of ENCODINGS for text that is not UTF-8."""
    isolated = [name for name in ENCODINGS if name != "utf-8"]
    best = from_bytes(content[:MAX_GUESS_BYTES], cp_isolation=isolated).best()
    name = "cp1252" if best is None else best.encoding.replace("_", "-")
    for known in ENCODINGS:
        if codecs.lookup(known) == codecs.lookup(name):
            return known
    return "cp1252"
