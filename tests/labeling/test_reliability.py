"""Reliability by Dawid and Skene's model: on real answers with a published figure, and on simulated ones."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from labeling.quality.reliability import BinaryResponses, Reliability, dawid_skene

DATA = Path(__file__).parents[3] / "shared" / "data" / "agreement"


def simulated(
    right: list[float], *, always_first: tuple[int, ...] = (), questions: int = 600, seed: int = 0
) -> Reliability:
    """Three of the people answer each question, each as often right as `right` says."""
    draw = np.random.default_rng(seed)
    truth = draw.random(questions) < 0.5
    people = np.array([draw.choice(len(right), 3, replace=False) for _ in range(questions)]).ravel()
    asked = np.arange(questions).repeat(3)
    turned = draw.random(len(people)) < 0.5
    is_right = draw.random(len(people)) < np.array(right)[people]
    second = np.where(is_right, truth[asked], ~truth[asked])
    second = np.where(np.isin(people, always_first), turned, second)
    return dawid_skene(BinaryResponses(asked, people, second, turned, asked))


def test_it_finds_as_many_bluebirds_as_published() -> None:
    if not (DATA / "expected.json").exists():
        pytest.skip("the shared data folder, with 108 pictures judged by 39 people, is not there")
    expected = json.loads((DATA / "expected.json").read_text(encoding="utf-8"))["bluebirds"]
    labels = yaml.load((DATA / "bluebirds/labels.yaml").read_text(), Loader=yaml.CSafeLoader)
    gold = yaml.load((DATA / "bluebirds/gt.yaml").read_text(), Loader=yaml.CSafeLoader)
    pictures = sorted(gold)
    place = {picture: number for number, picture in enumerate(pictures)}
    rows = [
        (place[picture], person, label)
        for person, answers in enumerate(labels.values())
        for picture, label in answers.items()
    ]
    asked, people, second = (np.array(column) for column in zip(*rows, strict=True))
    assert len(rows) == expected["answers"]
    found = dawid_skene(BinaryResponses(asked, people, second, np.zeros(len(rows), dtype=bool), asked))
    truth = np.array([gold[picture] for picture in pictures])
    assert ((found.item_posterior > 0.5) == truth).mean() == pytest.approx(
        expected["dawid_skene_acc"], abs=5e-5
    )
    # Each person's reliability is what it is by the gold that the model has not seen.
    known = np.array([
        np.mean([(second[(people == one) & (truth[asked] == side)] == side).mean() for side in (True, False)])
        for one in range(len(labels))
    ])  # fmt: skip
    assert np.corrcoef(known, found.accuracy)[0, 1] > 0.95


def test_reliable_people_and_guessers_are_told_apart() -> None:
    found = simulated([0.95, 0.9, 0.85, 0.8, 0.8, 0.5])
    assert found.accuracy[:5] == pytest.approx([0.95, 0.9, 0.85, 0.8, 0.8], abs=0.08)
    assert found.low[5] < 0.5 < found.high[5]
    assert (found.low[:5] > 0.6).all()


def test_somebody_who_always_takes_the_first_shown_is_no_better_than_a_guesser_and_known_by_it() -> None:
    found = simulated([0.9, 0.9, 0.9, 0.9, 0.5], always_first=(4,))
    assert found.accuracy[4] == pytest.approx(0.5, abs=0.02)
    assert found.accuracy_by_position[4] == pytest.approx([1, 0], abs=0.03)


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    right = [0.95, 0.9, 0.85, 0.8, 0.75, 0.7]
    runs = [simulated(right, questions=300, seed=seed) for seed in range(30)]
    covered = [(found.low <= right) & (right <= found.high) for found in runs]
    assert 0.88 <= np.mean(covered) <= 1


def test_more_answers_give_narrower_intervals() -> None:
    few, many = simulated([0.8] * 5, questions=100), simulated([0.8] * 5, questions=2000)
    assert (many.high - many.low).mean() < (few.high - few.low).mean() / 2


def test_a_crowd_is_reckoned_person_by_person() -> None:
    found = simulated([0.85] * 500, questions=5000)
    assert found.accuracy.mean() == pytest.approx(0.84, abs=0.04)
    assert ((found.low <= 0.85) & (found.high >= 0.85)).mean() > 0.8
