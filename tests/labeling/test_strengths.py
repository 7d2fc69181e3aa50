"""How strong generators are by the comparisons of their samples: as published fits, and never infinite."""

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.db.models import F

from labeling import queue
from labeling.feedback import Answer
from labeling.models import Generator, Project, Task
from labeling.prompts import add_prompts
from labeling.quality.bradley_terry import Game, Strength, fit, largest_group, strengths
from labeling.tasks import create_blind_tasks
from tests.labeling.objects import annotator, claimed, make_project

DATA = Path(__file__).parents[3] / "shared" / "data" / "agreement"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"the reference fits are not there: {DATA}")


def reference(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DATA / "expected.json").read_text())[name]
    return found


@needs_data
def test_bradley_and_terry_s_strengths_are_those_of_the_journals() -> None:
    expected = reference("bradley_terry_citations")
    names, cited = expected["journals"], expected["cited_by_citing"]
    found = fit(
        [
            Game(names[i], names[j], 1.0, times=cited[i][j])
            for i in range(len(names))
            for j in range(len(names))
            if i != j
        ]
    )
    assert found.players == names
    log_worths = found.strengths - found.strengths[0]
    assert log_worths == pytest.approx(expected["log_worth_relative_to_first"], abs=5e-5)
    assert (found.ties, found.is_bounded) == (0.0, False)


@needs_data
def test_ties_are_those_of_davidson_s_puddings() -> None:
    expected = reference("davidson_ties_pudding")
    games = []
    with (DATA / "pudding.csv").open() as file:
        for row in csv.DictReader(file):
            for name, points in (("w_ij", 1.0), ("w_ji", 0.0), ("t_ij", 0.5)):
                games.append(Game(row["i"], row["j"], points, times=int(row[name])))
    found = fit(games)
    assert found.worths == pytest.approx(expected["worth"], abs=5e-5)
    assert found.ties == pytest.approx(expected["tie_nu"], abs=5e-5)
    assert found.loss == pytest.approx(expected["nll"], abs=5e-5)
    assert not found.is_bounded


def test_two_players_have_the_strengths_and_errors_of_a_share() -> None:
    found = fit([Game("a", "b", 1.0, times=30), Game("a", "b", 0.0, times=10)])
    assert found.strengths[0] - found.strengths[1] == pytest.approx(math.log(3))
    # Each is half of the log odds, whose error is sqrt(1/30 + 1/10).
    assert found.errors == pytest.approx([math.sqrt(1 / 30 + 1 / 10) / 2] * 2)


def test_strengths_do_not_depend_on_who_is_named_first() -> None:
    games = [Game("a", "b", 1.0, times=5), Game("c", "b", 0.5, times=3), Game("c", "a", 0.0, times=4)]
    games += [Game("b", "c", 1.0, times=2), Game("c", "a", 1.0), Game("b", "a", 1.0)]
    turned = [Game(game.second, game.first, 1 - game.points, times=game.times) for game in games]
    assert fit(games).strengths == pytest.approx(fit(turned).strengths)


def test_intervals_hold_what_they_say() -> None:
    """Of 200 tournaments of known strengths, about 95 in a hundred intervals hold the true one."""
    rng = np.random.default_rng(0)
    truth = np.array([-0.8, 0.0, 0.8])
    held = []
    for _ in range(200):
        games = []
        for first, second in ((0, 1), (0, 2), (1, 2)):
            worths = np.exp([truth[first], truth[second], (truth[first] + truth[second]) / 2 - 0.5])
            won, lost, tied = rng.multinomial(40, worths / worths.sum())
            for points, count in ((1.0, won), (0.0, lost), (0.5, tied)):
                games.append(Game(str(first), str(second), points, times=int(count)))
        found = fit(games)
        held += list(np.abs(found.strengths - truth) < 1.96 * found.errors)
    assert 0.92 < np.mean(held) < 0.98


def test_comparisons_that_depend_on_each_other_make_intervals_wider() -> None:
    points = [1.0] * 30 + [0.0] * 10
    apart = [Game("a", "b", each) for each in points]
    together = [Game("a", "b", each, cluster=str(number // 5)) for number, each in enumerate(points)]
    assert fit(together).strengths == pytest.approx(fit(apart).strengths)
    assert fit(together).errors[0] > 1.5 * fit(apart).errors[0]


@pytest.mark.parametrize("points", [1.0, 0.5])
def test_a_perfect_record_is_no_infinite_strength(points: float) -> None:
    found = fit([Game("a", "b", 1.0, times=20), Game("b", "c", points, times=20)])
    assert found.is_bounded
    assert np.isfinite(found.strengths).all()
    assert found.strengths[0] > found.strengths[1] + 1
    more = fit([Game("a", "b", 1.0, times=200), Game("b", "c", points, times=200)])
    assert more.strengths[0] > found.strengths[0]
    assert (found.errors > 0.3).all()


def test_ties_alone_make_all_equal() -> None:
    found = fit([Game("a", "b", 0.5, times=20)])
    assert found.strengths == pytest.approx([0.0, 0.0], abs=1e-6)
    assert found.ties > 1


def test_players_whom_nothing_connects_have_no_common_scale() -> None:
    games = [Game("a", "b", 1.0, times=3), Game("c", "d", 1.0, times=2)]
    with pytest.raises(ValueError, match="connect"):
        fit(games)
    assert largest_group(games) == {"a", "b"}
    assert largest_group([]) == set()


# A project's generators


def compare(project: Project, names: str, orders: list[str], *, texts: dict[str, str] | None = None) -> None:
    """One answer for each order of the generators, best first, each on a prompt of its own."""
    writers = [Generator.objects.get_or_create(name=name)[0] for name in names]
    first = project.prompts.count()
    prompts = add_prompts(project, [f"Prompt {first + number}" for number in range(len(orders))])
    written = {writer: (texts or {}).get(writer.name, f" by {writer.name}") for writer in writers}
    create_blind_tasks(project=project, completions=[(prompt, written) for prompt in prompts])
    ann = annotator(f"ann-{first}")
    for number, order in enumerate(orders):
        assignment = claimed(ann, project)
        by = [sample.generator.name for sample in assignment.shown_samples()]
        ranks = tuple(order.index(name) + 1 for name in by)
        answer = Answer(best=ranks.index(1) + 1) if project.feedback == "best" else Answer(ranks=ranks)
        queue.submit(assignment, answer, client_key=str(number))


def by_name(found: list[Strength]) -> dict[str, Strength]:
    return {row.generator.name: row for row in found}


@pytest.mark.django_db
def test_the_strongest_generator_comes_first_with_its_interval() -> None:
    project = make_project()
    compare(project, "ABC", ["ABC"] * 5 + ["BAC", "CBA", "ACB"])
    found = strengths(project)
    assert [row.generator.name for row in found] == ["A", "B", "C"]
    assert sum(row.strength or 0.0 for row in found) == pytest.approx(0.0, abs=1e-9)
    best = found[0]
    assert best.comparisons == 16
    assert best.chance is not None
    assert best.interval is not None
    assert 0 < best.interval[0] < best.chance < best.interval[1] < 1
    assert best.chance > 0.5


@pytest.mark.django_db
def test_only_what_was_compared_counts() -> None:
    project = make_project(feedback="best")
    compare(project, "ABC", ["ABC", "ACB", "BAC", "CBA"])
    assert {name: row.comparisons for name, row in by_name(strengths(project)).items()} == {
        "A": 6, "B": 5, "C": 5
    }  # fmt: skip


@pytest.mark.django_db
def test_equal_texts_and_checks_say_nothing_of_their_generators() -> None:
    project = make_project()
    compare(project, "AB", ["AB"], texts={"A": " same", "B": " same"})
    assert strengths(project) == []
    compare(project, "AB", ["AB"])
    assert len(strengths(project)) == 2
    Task.objects.update(kind="gold", origin=F("pk"))
    assert strengths(project) == []


@pytest.mark.django_db
def test_tasks_chosen_for_being_hard_say_nothing_of_how_strong_a_generator_is() -> None:
    project = make_project()
    compare(project, "AB", ["AB", "AB"])
    Task.objects.update(choice=Task.Choice.CLOSENESS)
    assert strengths(project) == []
    compare(project, "AB", ["BA"])
    assert [(row.generator.name, row.comparisons) for row in strengths(project)] == [("B", 1), ("A", 1)]


@pytest.mark.django_db
def test_a_generator_that_nothing_connects_with_the_others_has_no_strength() -> None:
    project = make_project()
    compare(project, "AB", ["AB", "BA", "AB"])
    compare(project, "CD", ["CD"])
    found = by_name(strengths(project))
    assert found["A"].strength is not None
    assert (found["C"].strength, found["C"].chance, found["C"].interval) == (None, None, None)
    assert found["C"].comparisons == 1
    assert list(found) == ["A", "B", "C", "D"]


@pytest.mark.django_db
def test_a_project_that_compares_nothing_has_no_strengths() -> None:
    assert strengths(make_project(feedback="rewrite")) == []
    assert strengths(make_project("stories-2")) == []
