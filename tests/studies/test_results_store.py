"""A study that is killed continues after its last cell."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from training.gpt.errors import InputError
from training.studies.results_store import Cell, Results, ResultsStore


@dataclass(frozen=True)
class Options:
    seeds: str = "0"
    width: int = 8


class Work:
    """Cells that record which of them were computed; one may fail."""

    def __init__(self, *names: str, failing: str = "") -> None:
        self.done: list[str] = []
        self.failing = failing
        self.cells = [
            Cell(name=name, compute=lambda name=name: self.compute(name), minutes=1.0)  # type: ignore[misc]
            for name in names
        ]

    def compute(self, name: str) -> Results:
        if name == self.failing:
            raise KeyboardInterrupt
        self.done.append(name)
        return {"figure": len(name)}


def store(path: Path, options: Options = Options(), lines: list[str] | None = None) -> ResultsStore:
    log = (lambda _: None) if lines is None else lines.append
    return ResultsStore(path, study="it", options=options, extendable=frozenset({"seeds"}), log=log)


def test_cells_that_are_done_are_not_computed_again(tmp_path: Path) -> None:
    path = tmp_path / "it.json"
    first = Work("a", "bb", "ccc", failing="bb")
    with pytest.raises(KeyboardInterrupt):
        store(path).compute_missing(first.cells)
    assert first.done == ["a"]
    second = Work("a", "bb", "ccc")
    results = store(path).compute_missing(second.cells)
    assert second.done == ["bb", "ccc"]
    assert {name: cell["figure"] for name, cell in results.items()} == {"a": 1, "bb": 2, "ccc": 3}


def test_what_cells_share_is_not_prepared_for_finished_cells(tmp_path: Path) -> None:
    path, prepared = tmp_path / "it.json", []
    for _ in range(2):
        cells = [Cell(name="a", compute=dict, minutes=1.0, prepare=lambda: prepared.append(1))]
        store(path).compute_missing(cells)
    assert prepared == [1]


def test_options_that_only_add_cells_may_be_extended_and_others_may_not_change(tmp_path: Path) -> None:
    path = tmp_path / "it.json"
    store(path).compute_missing(Work("a").cells)
    work = Work("a", "bb")
    store(path, Options(seeds="0,1")).compute_missing(work.cells)
    assert work.done == ["bb"]
    with pytest.raises(InputError, match=r"was made with width 8, not 9; give another --folder"):
        store(path, Options(width=9))


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    for content in ("{", "[]", "{}"):
        (tmp_path / "it.json").write_text(content)
        with pytest.raises(InputError, match="not the results of a study"):
            store(tmp_path / "it.json")


def test_it_logs_progress_and_saves_options_machine_and_seconds(tmp_path: Path) -> None:
    lines: list[str] = []
    path = tmp_path / "it.json"
    results = store(path, lines=lines)
    results.compute_missing(Work("a", "bb").cells)
    results.save_summary({"all": "well"})
    assert lines[0] == "2 cells; about 2 minutes on one slow core"
    assert lines[1].startswith("1/2 a: 0 s; about")
    assert lines[2] == "2/2 bb: 0 s; done"
    content = json.loads(path.read_text())
    assert content["options"] == {"seeds": "0", "width": 8}
    assert content["machine"]["threads"] >= 1
    assert content["summary"] == {"all": "well"}
    assert content["cells"]["bb"]["seconds"] == content["seconds"] == 0.0
