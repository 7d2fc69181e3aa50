"""Bytes to text."""

from pathlib import Path

import pytest

from tests.gpt.corpus_files import documents, read, shared, write
from training.gpt.errors import InputError

SPANISH = "El niño comió piñas mañana en España, ¿no? «Sí», dijo el señor Núñez.\n" * 30
RUSSIAN = "Привет, как дела? Это обычный текст на русском языке.\n" * 30


def test_a_byte_order_mark_is_dropped(tmp_path: Path) -> None:
    assert documents(write(tmp_path / "bom.txt", b"\xef\xbb\xbfone")) == ["one"]
    rows = write(tmp_path / "bom.jsonl", b'\xef\xbb\xbf{"text": "one"}')
    assert documents(rows) == ["one"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
@pytest.mark.parametrize("declared", ["utf-8", "auto", "latin-1"])
def test_a_byte_order_mark_tells_the_encoding(tmp_path: Path, encoding: str, declared: str) -> None:
    path = write(tmp_path / "a.txt", "naïve\r\n学而".encode(encoding))
    assert documents(path, encoding=declared) == ["naïve", "学而"]


@pytest.mark.parametrize("encoding", ["latin-1", "gb18030", "utf-16-be"])
def test_an_encoding_can_be_declared(tmp_path: Path, encoding: str) -> None:
    text = "naïve\nfaçade" if encoding == "latin-1" else "naïve 学而\n时习"
    assert documents(write(tmp_path / "a.txt", text.encode(encoding)), encoding=encoding) == text.split("\n")


def test_an_undecodable_byte_is_named_with_file_and_offset(tmp_path: Path) -> None:
    path = write(tmp_path / "reviews", b"caf\xe9")
    with pytest.raises(InputError) as caught:
        documents(path)
    assert str(caught.value) == (
        f"{path}: byte 0xe9 at offset 3 is not utf-8; give the file's encoding, such as latin-1, or auto to"
        " have it guessed"
    )


@pytest.mark.parametrize(
    ("encoding", "good", "bad"),
    [
        ("utf-8", "学", b"\xff"),
        ("gb18030", "学", b"\xff"),
        ("shift_jis", "日", b"\xfd"),
        ("ascii", "a", b"\xe9"),
    ],
)
def test_the_offset_is_right_far_into_a_file(tmp_path: Path, encoding: str, good: str, bad: bytes) -> None:
    # An odd beginning, so that characters lie across the borders of what is read at once.
    before = b"x" + (good * 700_001).encode(encoding)
    with pytest.raises(InputError, match=rf"byte {bad[0]:#04x} at offset {len(before)} is not {encoding}"):
        documents(write(tmp_path / "a.txt", before + bad + b"\n"), encoding=encoding)


def test_a_character_cut_off_at_the_end_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="byte 0xe5 at offset 3 is not utf-8"):
        documents(write(tmp_path / "a.txt", "学学".encode()[:5]))


def test_line_ends_of_all_kinds_are_line_ends(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", b"x" * 262_143 + b"\r\none\rtwo\r\n\r\nthree")
    assert documents(path, documents="line")[1:] == ["one", "two", "three"]


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (SPANISH, "latin-1"),
        (SPANISH, "utf-8"),
        (SPANISH, "utf-16-le"),
        (RUSSIAN, "cp1251"),
        (RUSSIAN, "koi8-r"),
        ("日本語の文章です。これはテストです。\n" * 30, "shift_jis"),
        ("Příliš žluťoučký kůň úpěl ďábelské ódy.\n" * 30, "cp1250"),
    ],
)
def test_an_encoding_can_be_guessed(tmp_path: Path, text: str, encoding: str) -> None:
    # Far into the file, so that its beginning does not tell.
    whole = "plain words\n" * 50_000 + text
    reading, found = read(write(tmp_path / "a.txt", whole.encode(encoding)), encoding="auto")
    assert found == [line for line in whole.split("\n") if line]
    assert bool(reading.notes) == (encoding != "utf-8"), "a guess should be reported"


def test_a_novel_in_another_encoding_is_guessed(tmp_path: Path) -> None:
    text = shared("chinese-novels/sanguo-yanyi.txt").read_bytes().decode().replace("\r\n", "\n")
    path = write(tmp_path / "novel.txt", text.encode("gb18030"))
    assert documents(path, encoding="auto") == documents(shared("chinese-novels/sanguo-yanyi.txt"))


def test_each_file_is_guessed_by_itself(tmp_path: Path) -> None:
    write(tmp_path / "a.txt", SPANISH.encode("latin-1"))
    write(tmp_path / "b.txt", RUSSIAN.encode())
    reading, found = read(tmp_path, encoding="auto")
    assert set(found) == {SPANISH.partition("\n")[0], RUSSIAN.partition("\n")[0]}
    assert reading.notes == [f"{tmp_path}/a.txt was taken for cp1252"]


def test_utf_16_taken_for_utf_8_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.txt: is full of zeros, so it is not text in utf-8"):
        documents(write(tmp_path / "a.txt", "plain text".encode("utf-16-le")))


def test_an_unknown_encoding_is_refused(tmp_path: Path) -> None:
    for name in ("klingon", "base64", "utf\x00"):
        with pytest.raises(InputError, match=r"encoding: .* is unknown; try utf-8, latin-1 or auto"):
            documents(write(tmp_path / "a.txt", "a"), encoding=name)
