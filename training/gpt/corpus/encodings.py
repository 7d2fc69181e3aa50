"""Character encodings of files: declared, by byte order mark, or guessed."""

import codecs
import io
from collections.abc import Iterable, Iterator
from itertools import chain

from training.formats.encodings import BYTE_ORDER_MARKS
from training.gpt.errors import InputError

AUTO = "auto"

_SAMPLE_BYTES = 2**16  # bytes to guess from


def check_encoding(name: str) -> None:
    """Raise ``InputError`` for an encoding that does not exist."""
    try:
        if name != AUTO and not codecs.lookup(name)._is_text_encoding:  # noqa: SLF001 - has no public name
            raise LookupError
    except (LookupError, ValueError):
        raise InputError(f"encoding: {name!r} is unknown; try utf-8, latin-1 or {AUTO}") from None


def detect_encoding(chunks: Iterable[bytes], declared: str, *, name: str) -> str:
    """The encoding of a file: by its byte order mark, else ``declared``, or a guess if that is auto.

    The guess is UTF-8 if the full file is valid UTF-8, otherwise it is made from the lines that are not
    ASCII. ``InputError`` names the file if no encoding fits.
    """
    stream = iter(chunks)
    head = next(stream, b"")
    for mark, encoding in BYTE_ORDER_MARKS.items():
        if head.startswith(mark):
            return encoding
    if declared != AUTO:
        return declared
    if _has_many_zeros(head):  # UTF-16 without its mark
        return "utf-16-be" if head[0::2].count(0) > head[1::2].count(0) else "utf-16-le"
    sample = _non_ascii_sample(chain([head], stream))
    return "utf-8" if sample is None else _guess(sample, name)


def decode(chunks: Iterable[bytes], encoding: str, *, name: str) -> Iterator[str]:
    """The text in pieces, with line ends normalised; ``InputError`` names the first byte that cannot be
    decoded."""
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(encoding)(), translate=True)
    count, started = 0, False
    for chunk in chain(chunks, [b""]):
        count += len(chunk)
        try:
            text = decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            offset = count - len(error.object) + error.start
            raise InputError(
                f"{name}: byte {error.object[error.start]:#04x} at offset {offset} is not {encoding};"
                f" give the file's encoding, such as latin-1, or {AUTO} to have it guessed"
            ) from None
        if not started and text:
            started = True
            if _has_many_zeros(text):
                raise InputError(
                    f"{name}: is full of zeros, so it is not text in {encoding}; give the file's encoding,"
                    " such as utf-16-le, or another file"
                )
        if text:
            yield text


def _has_many_zeros(piece: bytes | str) -> bool:
    """Whether a piece holds too many zero bytes for text."""
    return piece.count(b"\0" if isinstance(piece, bytes) else "\0") * 20 > len(piece)  # type: ignore[arg-type]


def _non_ascii_sample(chunks: Iterable[bytes]) -> bytes | None:
    """Some of the lines that are not ASCII; None if all is valid UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    sample, rest, unicode = bytearray(), b"", True
    for chunk in chain(chunks, [b""]):
        try:
            if unicode:
                decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError:
            unicode = False
        if len(sample) < _SAMPLE_BYTES:
            *lines, rest = (rest + chunk).split(b"\n")
            sample += b"".join(line + b"\n" for line in lines if not line.isascii())
        elif not unicode:
            break
    sample += rest if not rest.isascii() else b""
    # Cut at a line end: half a character would look like a wrong encoding.
    whole_lines = bytes(sample[:_SAMPLE_BYTES]).rpartition(b"\n")[0]
    return None if unicode else whole_lines or bytes(sample)


def _guess(sample: bytes, name: str) -> str:
    from charset_normalizer import from_bytes

    matches = from_bytes(sample)
    best = matches.best()
    if best is None:
        raise InputError(f"{name}: its encoding cannot be guessed; give it, such as latin-1")
    # Western Europe's and Central Europe's differ in letters that a page of text may not have, and are then
    # equally likely to the library; Western is far more common.
    western = next((match for match in matches if match.encoding == "cp1252"), best)
    near = western.chaos == best.chaos and western.coherence > best.coherence - 0.05
    return western.encoding if near else best.encoding
