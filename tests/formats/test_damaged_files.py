"""Whatever is wrong with a file, it is said: nothing ends in an error of Python."""

import contextlib
import io
import json
import random
from pathlib import Path
from typing import Any

import pytest

from training.formats.reader import read_records
from training.formats.rows import FileProblem

DATA = Path(__file__).parents[3] / "shared" / "data"
ODD: list[Any] = [
    None, 3, -1, 1e300, True, "", [], {}, [[]], [None], {"a": None}, "x", ["a"], "[", "{'a': ", float("nan"),
    [{"role": "user"}], [{"role": "user", "content": 3}],
]  # fmt: skip


def changed(value: Any, chance: random.Random) -> Any:
    """A JSON value with one thing in it that is odd, or left out."""
    if isinstance(value, dict) and value:
        name = chance.choice(list(value))
        rest = {key: each for key, each in value.items() if key != name}
        if chance.random() < 0.2:
            return rest
        odd = chance.choice(ODD) if chance.random() < 0.5 else changed(value[name], chance)
        return {**rest, name: odd}
    if isinstance(value, list) and value:
        place = chance.randrange(len(value))
        return [changed(each, chance) if n == place else each for n, each in enumerate(value)]
    return chance.choice(ODD)


def damaged(content: bytes, chance: random.Random) -> bytes:
    """Bytes of which some are others, and which may be cut off."""
    found = bytearray(content)
    for _ in range(chance.choice([1, 3, 10]) if found else 0):
        found[chance.randrange(len(found))] = chance.randrange(256)
    return bytes(found[: chance.randrange(len(found) + 1)] if chance.random() < 0.3 else found)


@pytest.mark.parametrize("seed", range(4))
def test_damage_is_a_problem_and_never_an_error_of_python(seed: int) -> None:
    files = sorted(path for name in ("formats", "dirty") for path in (DATA / name).glob("*"))
    if not files:
        pytest.skip(f"{DATA} is not there")
    chance = random.Random(seed)
    for _ in range(300):
        path = chance.choice(files)
        content = path.read_bytes()
        try:
            rows = [json.loads(line) for line in content.splitlines()]
            content = json.dumps(changed(rows, chance)).encode()
        except ValueError:
            content = damaged(content, chance)
        with contextlib.suppress(FileProblem):
            assert all(str(each) for each in read_records(io.BytesIO(content), name=path.name))
