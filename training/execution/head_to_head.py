"""Two versions against each other: what both write to held-out prompts, judged by scorers and by people."""

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from labeling.head_to_head import AHEAD, Preference, least_compared, preferences_between, standing
from labeling.models import Generator, Project, Prompt
from labeling.tasks import create_blind_tasks
from training.execution.attempt import Attempt
from training.execution.comparison_metrics import (
    Pairs,
    best_of_curve,
    examples,
    points_by_pair,
    scorer_row,
    share_as_json,
)
from training.execution.configs import config_of
from training.execution.json_safe import json_safe
from training.execution.result import RunResult
from training.execution.versions import load_generator, load_scorer
from training.forms.judges import PEOPLE, parse_judges
from training.gpt.config import HardwareConfig, SamplingConfig
from training.gpt.errors import InputError
from training.gpt.generation.generate import complete
from training.models import ModelVersion, Run
from training.rlhf.evaluation.best_of_n import choose_best
from training.rlhf.evaluation.text_statistics import text_statistics
from training.rlhf.evaluation.win_rate import RateEstimate, WinRate, agreement_rate, estimate_rate
from training.rlhf.scorers import Scorer

SEED_OFFSET = 1_000_003
"""From one version's seed to the other's."""


@dataclass(frozen=True)
class Contest:
    """Who is compared with whom, and where."""

    project: Project
    policy: ModelVersion
    opponent: ModelVersion

    @property
    def generators(self) -> tuple[Generator, Generator]:
        """The two as writers of samples."""
        assert self.policy.generator is not None
        assert self.opponent.generator is not None
        return self.policy.generator, self.opponent.generator


def execute(run: Run, attempt: Attempt) -> RunResult:
    """Let both versions write where that is wanted, ask the judges, and open tasks for people.

    People's answers are those to all blind tasks of the two versions in the project, whichever run opened
    them; each scorer also says how often it agrees with them, on the very texts that they read.
    """
    assert run.policy is not None
    assert run.project is not None
    contest = Contest(run.project, run.policy, ModelVersion.objects.get(name=run.parameters["against"]))
    judges = parse_judges(run.parameters["judge"])
    scorers = {name: load_scorer(name) for name in judges if name != PEOPLE}
    wanted, most = run.parameters["tasks"], run.parameters["prompts"] if scorers else 0

    answers = list(preferences_between(contest.project, *contest.generators)) if PEOPLE in judges else []
    if not answers and not scorers and not wanted:
        raise InputError(no_answers_message(contest))
    heldout = (
        least_compared(contest.project, *contest.generators)
        if wanted
        else contest.project.prompts.filter(split=Prompt.Split.HELDOUT).order_by("pk")
    )
    prompts = list(heldout[: max(wanted, most)])
    texts = [prompt.text for prompt in prompts]
    sampling, rival_sampling = sampling_configs(run, contest)
    drawn = write_completions(
        run, attempt, contest.policy, texts, sampling, samples=run.parameters["best_of"]
    )
    attempt.report("", progress=0.35)
    against = write_completions(run, attempt, contest.opponent, texts, rival_sampling)
    attempt.report("", progress=0.7)
    chooser = load_scorer(run.reward.name) if run.reward else None
    ours = choose_best(chooser, texts, drawn) if chooser else [text for (text,) in drawn]
    written = Pairs(texts, ours, [text for (text,) in against])
    opened = differing_completions(contest, prompts, written)[:wanted]
    if wanted and not opened:
        raise InputError("tasks: both versions wrote the same to every prompt; there is nothing to compare.")

    metrics = judge_completions(attempt, contest, judges, scorers, answers=answers, written=written)
    metrics["notes"] = independence_notes(contest.policy, run.reward, scorers)
    if chooser:
        metrics["best_of"] = best_of_curve(texts, drawn, chooser, scorers)
    if wanted:
        metrics["tasks"] = len(opened)
    if len(opened) < wanted:
        metrics["notes"].append(
            f"{len(opened)} tasks were opened, not {wanted}: each takes a held-out prompt of its own, to "
            "which the versions wrote different texts. Evaluating again opens more."
        )
    return RunResult(
        metrics=metrics,
        record=lambda: create_blind_tasks(
            project=contest.project,
            completions=opened,
            parameters=dataclasses.asdict(sampling),
            priority=AHEAD,
        ),
    )


def judge_completions(
    attempt: Attempt,
    contest: Contest,
    judges: Sequence[str],
    scorers: Mapping[str, Scorer],
    *,
    answers: Sequence[Preference],
    written: Pairs,
) -> dict[str, Any]:
    """What each judge says: scorers of what was written now, people of what they were asked."""
    asked = Pairs(
        [each.prompt for each in answers], [each.first for each in answers], [each.second for each in answers]
    )
    by_people = [each.points for each in answers]
    rows = []
    fresh: dict[str, WinRate] = {}
    on_asked: dict[str, WinRate] = {}
    for name in judges:
        attempt.check()
        attempt.report(f"{name} judges")
        if name == PEOPLE:
            rows.append(people_row(contest, answers, asked))
            continue
        fresh[name] = written.win_rate(scorers[name])
        agreed: RateEstimate | None = None
        if answers:
            on_asked[name] = asked.win_rate(scorers[name])
            agreed = agreement_rate(on_asked[name].points, by_people, clusters=asked.prompts)
        rows.append(scorer_row(name, fresh[name], written, agreed))
    shown = written if written.prompts else asked
    return {
        "prompts": len(set(shown.prompts)),
        "judges": rows,
        "texts": [dataclasses.asdict(text_statistics(side)) for side in (shown.ours, shown.theirs) if side],
        "examples": examples(points_by_pair(asked, by_people), asked, on_asked, written, fresh),
    }


def sampling_configs(run: Run, contest: Contest) -> tuple[SamplingConfig, SamplingConfig]:
    """How either version writes: alike, and drawn independently.

    From the same random numbers, two versions that differ little would write the same to most prompts, and
    the rest would say how the one changed the other's texts, not which writes the better ones. Tasks that
    are opened later, on prompts that had their turn, get other samples.
    """
    sampling = config_of(SamplingConfig, run)
    if sampling.seed < 0:
        return sampling, sampling
    had = standing(contest.project, *contest.generators).tasks if run.parameters["tasks"] else 0
    ours, theirs = (
        dataclasses.replace(sampling, seed=sampling.seed + had + shift) for shift in (0, SEED_OFFSET)
    )
    return ours, theirs


def write_completions(
    run: Run,
    attempt: Attempt,
    version: ModelVersion,
    prompts: Sequence[str],
    sampling: SamplingConfig,
    *,
    samples: int = 1,
) -> list[list[str]]:
    """So many completions of each prompt."""
    if not prompts:
        return []
    attempt.check()
    attempt.report(f"{version.name} writes")
    model, tokenizer = load_generator(version, config_of(HardwareConfig, run))
    written = complete(
        model, tokenizer, prompts, sampling, samples_per_prompt=samples, should_stop=attempt.should_stop
    )
    attempt.check()
    return [[json_safe(each.text) for each in texts] for texts in written]


def differing_completions(
    contest: Contest, prompts: Sequence[Prompt], written: Pairs
) -> list[tuple[Prompt, Mapping[Generator, str]]]:
    """The prompts to which the versions wrote different texts, with those: equal ones ask nothing."""
    ours, theirs = contest.generators
    return [
        (prompt, {ours: a, theirs: b})
        for prompt, a, b in zip(prompts, written.ours, written.theirs, strict=True)
        if a != b
    ]


def no_answers_message(contest: Contest) -> str:
    """What is missing before people's win rate can be told."""
    found = standing(contest.project, *contest.generators)
    if not found.tasks:
        return (
            f"judge: nobody was asked yet whether {contest.policy} or {contest.opponent} is better; "
            "open blind tasks with --tasks N."
        )
    return (
        f"judge: none of the {found.tasks} blind tasks has an answer that compares yet; people find them at "
        f"{contest.project.get_absolute_url()}"
    )


def people_row(contest: Contest, answers: Sequence[Preference], asked: Pairs) -> dict[str, Any]:
    """What people say; the interval is over prompts, as several answers to one are not independent."""
    points = [each.points for each in answers]
    by_annotator: dict[str, list[float]] = defaultdict(list)
    for each in answers:
        by_annotator[each.annotator].append(each.points)
    return {
        "judge": PEOPLE,
        "kind": "blind",
        "won": share_as_json(estimate_rate(points, clusters=asked.prompts) if points else None),
        "ties": points.count(0.5),
        "prompts": len(set(asked.prompts)),
        "longer_won": share_as_json(asked.longer_win_rate(points)),
        "annotators": [
            {"annotator": name, "answers": len(own), "rate": fmean(own)}
            for name, own in sorted(by_annotator.items())
        ],
        **dataclasses.asdict(standing(contest.project, *contest.generators)),
    }


def independence_notes(
    policy: ModelVersion, chooser: ModelVersion | None, judges: Iterable[str]
) -> list[str]:
    """A sentence for each judge that had a hand in the texts it judges."""
    aims = tuned_against(policy)
    return [
        f"{policy} was tuned against {name}: that {name} prefers it shows that the tuning worked, not that "
        "the texts are better. Ask people, or another judge."
        if name in aims
        else f"{name} chose what it judges here. Ask people, or another judge."
        for name in judges
        if name in aims or (chooser is not None and name == chooser.name)
    ]


def tuned_against(version: ModelVersion) -> set[str]:
    """The reward models that the version, or one it descends from, was tuned against."""
    names = set()
    ancestor: ModelVersion | None = version
    while ancestor is not None:
        if ancestor.run is not None and ancestor.run.reward is not None:
            names.add(ancestor.run.reward.name)
        ancestor = ancestor.parent
    return names
