"""Two versions against each other: what both write to held-out prompts, judged by scorers and by people."""

import dataclasses
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from labeling.head_to_head import Preference, least_compared, preferences_between, standing
from labeling.models import Generator, Project, Prompt
from labeling.tasks import create_blind_tasks
from training.execution.attempt import Attempt
from training.execution.configs import config_of
from training.execution.judging import Pairs, answered, as_metrics, examples, scorer_row
from training.execution.outcome import Outcome
from training.execution.storable import storable
from training.execution.versions import load_taste, load_writer
from training.forms import PEOPLE, judges_in
from training.gpt.config import HardwareConfig, SamplingConfig
from training.gpt.errors import InputError
from training.gpt.generate import complete
from training.models import ModelVersion, Run
from training.rlhf.text_statistics import text_statistics
from training.rlhf.win_rate import Share, WinRate, agreement, share

FAR = 1_000_003
"""From one version's seed to the other's."""

AHEAD = -1
"""Priority of blind tasks: they are few, and an evaluation waits for them."""


@dataclass(frozen=True)
class Contest:
    """Who is compared with whom, and where."""

    project: Project
    policy: ModelVersion
    rival: ModelVersion

    @property
    def generators(self) -> tuple[Generator, Generator]:
        """The two as writers of samples."""
        assert self.policy.generator is not None
        assert self.rival.generator is not None
        return self.policy.generator, self.rival.generator


def execute(run: Run, attempt: Attempt) -> Outcome:
    """Let both versions write where that is wanted, ask the judges, and open tasks for people.

    People's answers are those to all blind tasks of the two versions in the project, whichever run opened
    them; each scorer also says how often it agrees with them, on the very texts that they read.
    """
    assert run.policy is not None
    assert run.project is not None
    contest = Contest(run.project, run.policy, ModelVersion.objects.get(name=run.parameters["against"]))
    judges = judges_in(run.parameters["judge"])
    scorers = [name for name in judges if name != PEOPLE]
    wanted, most = run.parameters["tasks"], run.parameters["prompts"] if scorers else 0

    answers = list(preferences_between(contest.project, *contest.generators)) if PEOPLE in judges else []
    if not answers and not scorers and not wanted:
        raise InputError(why_no_answers(contest))
    heldout = (
        least_compared(contest.project, *contest.generators)
        if wanted
        else contest.project.prompts.filter(split=Prompt.Split.HELDOUT).order_by("pk")
    )
    prompts = list(heldout[: max(wanted, most)])
    sampling = sampling_of(run, contest)
    written = write(run, attempt, contest, [prompt.text for prompt in prompts], sampling)
    opened = worth_a_task(contest, prompts, written)[:wanted]
    if wanted and not opened:
        raise InputError("tasks: both versions wrote the same to every prompt; there is nothing to compare.")
    judged = ask(attempt, contest, judges, answers, written)
    if len(opened) < wanted:
        judged["notes"].append(
            f"{len(opened)} tasks were opened, not {wanted}: each takes a held-out prompt of its own, to "
            "which the versions wrote different texts. Evaluating again opens more."
        )
    return Outcome(
        metrics={**judged, **({"tasks": len(opened)} if wanted else {})},
        record=lambda: create_blind_tasks(
            project=contest.project,
            completions=opened,
            parameters=dataclasses.asdict(sampling),
            priority=AHEAD,
        ),
    )


def ask(
    attempt: Attempt, contest: Contest, judges: Sequence[str], answers: Sequence[Preference], written: Pairs
) -> dict[str, Any]:
    """What each judge says: scorers of what was written now, people of what they were asked."""
    asked = Pairs(
        [each.prompt for each in answers], [each.first for each in answers], [each.second for each in answers]
    )
    by_people = [each.points for each in answers]
    rows, notes = [], []
    fresh: dict[str, WinRate] = {}
    on_asked: dict[str, WinRate] = {}
    for number, name in enumerate(judges):
        attempt.check()
        attempt.say(f"{name} judges", progress=0.7 + 0.3 * number / len(judges))
        if name == PEOPLE:
            rows.append(people_row(contest, answers, asked))
            continue
        scorer = load_taste(name)
        fresh[name] = written.win_rate(scorer)
        agreed: Share | None = None
        if answers:
            on_asked[name] = asked.win_rate(scorer)
            agreed = agreement(on_asked[name].points, by_people, clusters=asked.prompts)
        rows.append(scorer_row(name, fresh[name], written, agreed))
        if name in tuned_against(contest.policy):
            notes.append(
                f"{contest.policy} was tuned against {name}: that {name} prefers it shows that the tuning "
                "worked, not that the texts are better. Ask people, or another judge."
            )
    texts = written if written.prompts else asked
    return {
        "prompts": len(set(texts.prompts)),
        "judges": rows,
        "texts": [dataclasses.asdict(text_statistics(side)) for side in (texts.ours, texts.theirs) if side],
        "examples": examples(answered(asked, by_people), asked, on_asked, written, fresh),
        "notes": notes,
    }


def sampling_of(run: Run, contest: Contest) -> SamplingConfig:
    """How both write. Tasks opened later, on prompts that had their turn, get other samples."""
    sampling = config_of(SamplingConfig, run)
    if sampling.seed < 0 or not run.parameters["tasks"]:
        return sampling
    had = standing(contest.project, *contest.generators).tasks
    return dataclasses.replace(sampling, seed=sampling.seed + had)


def write(
    run: Run, attempt: Attempt, contest: Contest, prompts: Sequence[str], sampling: SamplingConfig
) -> Pairs:
    """A completion of each prompt by both versions, drawn independently.

    From the same random numbers, two versions that differ little would write the same to most prompts, and
    the rest would say how the one changed the other's texts, not which writes the better ones.
    """
    sides = []
    for number, version in enumerate((contest.policy, contest.rival)):
        if prompts:
            attempt.check()
            attempt.say(f"{version.name} writes", progress=0.35 * number)
            model, tokenizer = load_writer(version, config_of(HardwareConfig, run))
            own = sampling
            if sampling.seed >= 0:
                own = dataclasses.replace(sampling, seed=sampling.seed + number * FAR)
            completions = complete(model, tokenizer, prompts, own, should_stop=attempt.should_stop)
            attempt.check()
            sides.append([storable(first.text) for (first,) in completions])
    return Pairs(prompts, *sides)


def worth_a_task(
    contest: Contest, prompts: Sequence[Prompt], written: Pairs
) -> list[tuple[Prompt, Mapping[Generator, str]]]:
    """The prompts to which the versions wrote different texts, with those: equal ones ask nothing."""
    ours, theirs = contest.generators
    return [
        (prompt, {ours: a, theirs: b})
        for prompt, a, b in zip(prompts, written.ours, written.theirs, strict=True)
        if a != b
    ]


def why_no_answers(contest: Contest) -> str:
    """What is missing before people's win rate can be told."""
    found = standing(contest.project, *contest.generators)
    if not found.tasks:
        return (
            f"judge: nobody was asked yet whether {contest.policy} or {contest.rival} is better; "
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
        "won": as_metrics(share(points, clusters=asked.prompts) if points else None),
        "ties": points.count(0.5),
        "prompts": len(set(asked.prompts)),
        "longer_won": as_metrics(asked.longer_won(points)),
        "annotators": [
            {"annotator": name, "answers": len(own), "rate": fmean(own)}
            for name, own in sorted(by_annotator.items())
        ],
        **dataclasses.asdict(standing(contest.project, *contest.generators)),
    }


def tuned_against(version: ModelVersion) -> set[str]:
    """The reward models that the version, or one it descends from, was tuned against."""
    names = set()
    ancestor: ModelVersion | None = version
    while ancestor is not None:
        if ancestor.run is not None and ancestor.run.reward is not None:
            names.add(ancestor.run.reward.name)
        ancestor = ancestor.parent
    return names
