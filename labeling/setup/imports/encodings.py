"""Decoding files, with error messages that say what to do."""

import codecs

from charset_normalizer import from_bytes

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
BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
NOT_TEXT = {
    b"PK\x03\x04": "a spreadsheet workbook or an archive: export it as CSV",
    b"\x1f\x8b": "compressed: unpack it",
    b"%PDF": "a PDF: copy the prompts out of it",
    b"\xd0\xcf\x11\xe0": "an old office document: export it as CSV",
    b"PAR1": "Parquet: export it as JSON Lines",
}
MAX_GUESS_BYTES = 65_536
"""Bytes from which the encoding is guessed: enough for that, and fast."""


class ImportProblem(ValueError):  # noqa: N818 - a problem of the file, with a message for its owner
    """The file cannot be read at all."""


class EncodingUnknown(ImportProblem):
    """The text is not UTF-8; `guess` is the most likely of ENCODINGS."""

    def __init__(self, guess: str) -> None:
        self.guess = guess
        super().__init__(
            f"This file is not UTF-8. It looks like “{ENCODINGS[guess]}”: choose its encoding under “More”, "
            "and check below that accents and signs are right."
        )


def decode(content: bytes, encoding: str = "") -> str:
    """Decode a file in this encoding or, without one, by its byte order mark or as UTF-8.

    Raises EncodingUnknown if no encoding is given and it is not UTF-8, otherwise ImportProblem.
    """
    for magic, what in NOT_TEXT.items():
        if content.startswith(magic):
            raise ImportProblem(f"This file is {what}, and import that.")
    marked = next((name for mark, name in BYTE_ORDER_MARKS.items() if content.startswith(mark)), "")
    try:
        return content.decode(marked or encoding or "utf-8")
    except UnicodeDecodeError as error:
        if encoding or marked:
            line = content[: error.start].count(b"\n") + 1
            name = ENCODINGS.get(encoding, marked)
            raise ImportProblem(
                f"Line {line} is not {name}: choose another encoding, or save the file as UTF-8."
            ) from None
    raise EncodingUnknown(_guess(content))


def _guess(content: bytes) -> str:
    """The most likely of ENCODINGS for text that is not UTF-8."""
    best = from_bytes(
        content[:MAX_GUESS_BYTES], cp_isolation=[name for name in ENCODINGS if name != "utf-8"]
    ).best()
    name = "cp1252" if best is None else best.encoding.replace("_", "-")
    for known in ENCODINGS:
        if codecs.lookup(known) == codecs.lookup(name):
            return known
    return "cp1252"
