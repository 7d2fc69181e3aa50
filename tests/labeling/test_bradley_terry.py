"""The strength of generators by the comparisons of their samples: as published fits, and never infinite."""

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
from labeling.quality.bradley_terry import (
    Comparison,
    GeneratorStrength,
    fit_bradley_terry,
    generator_strengths,
    largest_connected_group,
)
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
    found = fit_bradley_terry(
        [
            Comparison(names[i], names[j], 1.0, n=cited[i][j])
            for i in range(len(names))
            for j in range(len(names))
            if i != j
        ]
    )
    assert found.items == names
    log_worths = found.strengths - found.strengths[0]
    assert log_worths == pytest.approx(expected["log_worth_relative_to_first"], abs=5e-5)
    assert (found.ties, found.has_prior) == (0.0, False)


@needs_data
def test_ties_are_those_of_davidson_s_puddings() -> None:
    expected = reference("davidson_ties_pudding")
    comparisons = []
    with (DATA / "pudding.csv").open() as file:
        for row in csv.DictReader(file):
            for name, points in (("w_ij", 1.0), ("w_ji", 0.0), ("t_ij", 0.5)):
                comparisons.append(Comparison(row["i"], row["j"], points, n=int(row[name])))
    found = fit_bradley_terry(comparisons)
    assert found.worth_parameters == pytest.approx(expected["worth"], abs=5e-5)
    assert found.ties == pytest.approx(expected["tie_nu"], abs=5e-5)
    assert found.loss == pytest.approx(expected["nll"], abs=5e-5)
    assert not found.has_prior


def test_two_players_have_the_strengths_and_errors_of_a_share() -> None:
    found = fit_bradley_terry([Comparison("a", "b", 1.0, n=30), Comparison("a", "b", 0.0, n=10)])
    assert found.strengths[0] - found.strengths[1] == pytest.approx(math.log(3))
    # Each is half of the log odds, whose error is sqrt(1/30 + 1/10).
    assert found.errors == pytest.approx([math.sqrt(1 / 30 + 1 / 10) / 2] * 2)


def test_strengths_do_not_depend_on_who_is_named_first() -> None:
    comparisons = [
        Comparison("a", "b", 1.0, n=5),
        Comparison("c", "b", 0.5, n=3),
        Comparison("c", "a", 0.0, n=4),
    ]
    comparisons += [Comparison("b", "c", 1.0, n=2), Comparison("c", "a", 1.0), Comparison("b", "a", 1.0)]
    turned = [Comparison(each.second, each.first, 1 - each.points, n=each.n) for each in comparisons]
    assert fit_bradley_terry(comparisons).strengths == pytest.approx(fit_bradley_terry(turned).strengths)


def test_intervals_hold_what_they_say() -> None:
    """Of 200 tournaments of known strengths, about 95 in a hundred intervals hold the true one."""
    rng = np.random.default_rng(0)
    truth = np.array([-0.8, 0.0, 0.8])
    held = []
    for _ in range(200):
        comparisons = []
        for first, second in ((0, 1), (0, 2), (1, 2)):
            worths = np.exp([truth[first], truth[second], (truth[first] + truth[second]) / 2 - 0.5])
            won, lost, tied = rng.multinomial(40, worths / worths.sum())
            for points, count in ((1.0, won), (0.0, lost), (0.5, tied)):
                comparisons.append(Comparison(str(first), str(second), points, n=int(count)))
        found = fit_bradley_terry(comparisons)
        held += list(np.abs(found.strengths - truth) < 1.96 * found.errors)
    assert 0.92 < np.mean(held) < 0.98


def test_comparisons_that_depend_on_each_other_make_intervals_wider() -> None:
    points = [1.0] * 30 + [0.0] * 10
    apart = [Comparison("a", "b", each) for each in points]
    together = [Comparison("a", "b", each, cluster=str(number // 5)) for number, each in enumerate(points)]
    assert fit_bradley_terry(together).strengths == pytest.approx(fit_bradley_terry(apart).strengths)
    assert fit_bradley_terry(together).errors[0] > 1.5 * fit_bradley_terry(apart).errors[0]


@pytest.mark.parametrize("points", [1.0, 0.5])
def test_a_perfect_record_is_no_infinite_strength(points: float) -> None:
    found = fit_bradley_terry([Comparison("a", "b", 1.0, n=20), Comparison("b", "c", points, n=20)])
    assert found.has_prior
    assert np.isfinite(found.strengths).all()
    assert found.strengths[0] > found.strengths[1] + 1
    more = fit_bradley_terry([Comparison("a", "b", 1.0, n=200), Comparison("b", "c", points, n=200)])
    assert more.strengths[0] > found.strengths[0]
    assert (found.errors > 0.3).all()


def test_ties_alone_make_all_equal() -> None:
    found = fit_bradley_terry([Comparison("a", "b", 0.5, n=20)])
    assert found.strengths == pytest.approx([0.0, 0.0], abs=1e-6)
    assert found.ties > 1


def test_players_whom_nothing_connects_have_no_common_scale() -> None:
    comparisons = [Comparison("a", "b", 1.0, n=3), Comparison("c", "d", 1.0, n=2)]
    with pytest.raises(ValueError, match="connect"):
        fit_bradley_terry(comparisons)
    assert largest_connected_group(comparisons) == {"a", "b"}
    assert largest_connected_group([]) == set()


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


def by_name(found: list[GeneratorStrength]) -> dict[str, GeneratorStrength]:
    return {row.generator.name: row for row in found}


@pytest.mark.django_db
def test_the_strongest_generator_comes_first_with_its_interval() -> None:
    project = make_project()
    compare(project, "ABC", ["ABC"] * 5 + ["BAC", "CBA", "ACB"])
    found = generator_strengths(project)
    assert [row.generator.name for row in found] == ["A", "B", "C"]
    assert sum(row.strength or 0.0 for row in found) == pytest.approx(0.0, abs=1e-9)
    best = found[0]
    assert best.comparisons == 16
    assert best.win_probability is not None
    assert best.interval is not None
    assert 0 < best.interval[0] < best.win_probability < best.interval[1] < 1
    assert best.win_probability > 0.5


@pytest.mark.django_db
def test_only_what_was_compared_counts() -> None:
    project = make_project(feedback="best")
    compare(project, "ABC", ["ABC", "ACB", "BAC", "CBA"])
    assert {name: row.comparisons for name, row in by_name(generator_strengths(project)).items()} == {
        "A": 6, "B": 5, "C": 5
    }  # fmt: skip


@pytest.mark.django_db
def test_equal_texts_and_checks_say_nothing_of_their_generators() -> None:
    project = make_project()
    compare(project, "AB", ["AB"], texts={"A": " same", "B": " same"})
    assert generator_strengths(project) == []
    compare(project, "AB", ["AB"])
    assert len(generator_strengths(project)) == 2
    Task.objects.update(kind="gold", origin=F("pk"))
    assert generator_strengths(project) == []


@pytest.mark.django_db
def test_tasks_chosen_for_being_hard_say_nothing_of_how_strong_a_generator_is() -> None:
    project = make_project()
    compare(project, "AB", ["AB", "AB"])
    Task.objects.update(choice=Task.Choice.CLOSENESS)
    assert generator_strengths(project) == []
    compare(project, "AB", ["BA"])
    assert [(row.generator.name, row.comparisons) for row in generator_strengths(project)] == [
        ("B", 1),
        ("A", 1),
    ]


@pytest.mark.django_db
def test_a_generator_that_nothing_connects_with_the_others_has_no_strength() -> None:
    project = make_project()
    compare(project, "AB", ["AB", "BA", "AB"])
    compare(project, "CD", ["CD"])
    found = by_name(generator_strengths(project))
    assert found["A"].strength is not None
    assert (found["C"].strength, found["C"].win_probability, found["C"].interval) == (None, None, None)
    assert found["C"].comparisons == 1
    assert list(found) == ["A", "B", "C", "D"]


@pytest.mark.django_db
def test_a_project_that_compares_nothing_has_no_strengths() -> None:
    assert generator_strengths(make_project(feedback="rewrite")) == []
    assert generator_strengths(make_project("stories-2")) == []
