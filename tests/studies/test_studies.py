"""Every study at its quick size, from nothing to plots, and again from the results it saved."""

import gzip
import json
import random
from pathlib import Path

import pytest

from training.studies.__main__ import STUDIES, main

OTHERS = [name for name in STUDIES if name != "human_preferences"]


def dialogues(folder: Path) -> str:
    """Two files of made-up dialogues in which the kinder, and in one the shorter answer is chosen."""
    rng = random.Random(0)
    paths = []
    for name, better in (("helpful-base_test", " gladly, here it is"), ("harmless-base_test", " no")):
        rows = []
        for number in range(40):
            prompt = f"\n\nHuman: question {number} {rng.choice(['a', 'b', 'c'])}\n\nAssistant:"
            rows.append({"chosen": prompt + better, "rejected": prompt + " whatever you say, do it"})
        path = folder / f"{name}.jsonl.gz"
        path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
        paths.append(str(path))
    return ",".join(paths)


def check(name: str, folder: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    command = [name, "--quick", "--folder", str(folder), *arguments]
    assert main(command) == 0
    assert "done" in capsys.readouterr().out
    before = json.loads((folder / f"{name}.json").read_text())
    report = (folder / f"{name}.md").read_text()
    assert report.startswith("# ")
    assert "| ---: |" in report
    plots = list(folder.glob(f"{name}*.svg"))
    assert plots
    for path in plots:
        svg = path.read_text()
        assert "prefers-color-scheme:dark" in svg
        assert "currentColor" in svg
        assert "#010203" not in svg
    # All cells are done: nothing is computed, and the report is the same.
    assert main(command) == 0
    assert f"{len(before['cells'])} of them done before; about 0 seconds" in capsys.readouterr().out
    assert json.loads((folder / f"{name}.json").read_text()) == before
    assert (folder / f"{name}.md").read_text() == report


def test_the_preferences_of_dialogues(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check("human_preferences", tmp_path, ["--files", dialogues(tmp_path)], capsys)
    rows = json.loads((tmp_path / "human_preferences.json").read_text())["summary"]["rows"]
    assert [row["file"] for row in rows] == ["helpful-base_test", "harmless-base_test"]
    for row in rows:
        assert row["pairs"] == 40
        assert row["longer wins"]["value"] == 0.0
        assert row["TF-IDF Bradley-Terry"]["value"] == 1.0


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_it_runs_from_nothing_to_plots(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check(name, tmp_path, [], capsys)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["overoptimisation", "--noise", "a"], "noise: 'a' should be numbers from 0 to 0.5"),
        (["overoptimisation", "--aggregations", "maximum"], "aggregations: 'maximum' is unknown"),
        (["label_efficiency", "--annotators", "many"], "annotators: expected a whole number"),
        (["active_learning", "--arms", "closeness"], "arms: the others are compared with random"),
        (
            ["active_learning", "--pool", "50"],
            "annotations: '100,250,500,1000,2000' should be numbers from 10 to 50",
        ),
        (["estimators", "--tasks", "poems"], "tasks: 'poems' is unknown"),
        (["estimators", "--tasks", "reviews", "--reviews", "nowhere"], "reviews: nowhere/rt-polarity.pos"),
        (["human_preferences", "--files", "nowhere.jsonl"], "nowhere.jsonl: No such file"),
    ],
)
def test_an_error_is_one_line(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--folder", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "note"),
    [
        (["choosing", "--arms", "none"], "choosing is now active_learning"),
        (["active_learning", "--ways", "none"], "--ways is now --arms"),
        (["overoptimisation", "--uses", "none"], "--uses is now --aggregations"),
        (["label_efficiency", "--tuned", "none"], "--tuned is now --tuned-seeds"),
        (["label_efficiency", "--subject", "none"], "--subject is now --task"),
        (["estimators", "--subjects", "none"], "--subjects is now --tasks"),
    ],
)
def test_old_names_are_accepted_with_a_note(
    arguments: list[str], note: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--folder", str(tmp_path)]) == 1
    assert note in capsys.readouterr().err
