"""DPO and supervised fine-tuning in two processes: the same figures, and a state either goes on from."""

from pathlib import Path
from typing import Any

import pytest

from tests.rlhf.tiny_offline import Curve, tuned
from tests.two_processes import in_two_processes


class Tunes:
    """A job that can be sent to a process: what it logged, and the completions of its best version."""

    def __init__(self, kind: str, **options: Any) -> None:
        self.kind, self.options = kind, options

    def __call__(self, rank: int) -> tuple[Curve, list[str]]:
        curve: Curve = []
        result = tuned(self.kind, curve=curve, **self.options)
        return curve, result.after.completions


def same(found: Curve, expected: Curve) -> None:
    assert [step for step, _ in found] == [step for step, _ in expected]
    for (_, one), (_, other) in zip(found, expected, strict=True):
        assert one.keys() == other.keys()
        for name in one.keys() - {"step_time"}:
            assert one[name] == pytest.approx(other[name], abs=2e-3, rel=1e-3), name


@pytest.mark.parametrize(("kind", "parallel"), [("dpo", "ddp"), ("supervised", "fsdp")])
def test_two_processes_tune_as_one_does(kind: str, parallel: str) -> None:
    alone: Curve = []
    expected = tuned(kind, curve=alone)
    first, second = in_two_processes(Tunes(kind, parallel=parallel))
    assert not isinstance(first, str), first
    assert not isinstance(second, str), second
    same(first[0], alone)
    assert second[0] == []  # only the first one logs
    assert first[1] == second[1] == expected.after.completions


def test_what_two_processes_left_one_goes_on_with(tmp_path: Path) -> None:
    alone: Curve = []
    tuned("dpo", curve=alone)
    first, second = in_two_processes(Tunes("dpo", parallel="fsdp", folder=tmp_path, stop_at=4))
    assert not isinstance(first, str), first
    assert not isinstance(second, str), second
    rest: Curve = []
    tuned("dpo", curve=rest, folder=tmp_path)
    same(first[0] + rest, alone)


def test_a_batch_that_two_processes_cannot_share_is_refused() -> None:
    answers = in_two_processes(Tunes("dpo", batch_size=15))
    for error in answers:
        assert isinstance(error, str)
        assert error.startswith("batch_size: 15 does not divide evenly among 2 processes")
