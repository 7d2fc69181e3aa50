"""Head-to-head evaluation: two versions or endpoints on held-out prompts, judged by scorers and people."""

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from labeling.head_to_head import (
    BLIND_TASK_PRIORITY,
    HeadToHeadComparison,
    head_to_head_comparisons,
    head_to_head_progress,
    least_compared_prompts,
)
from labeling.models import Generator, Project, Prompt
from labeling.tasks import SampleText, create_blind_tasks
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
from training.execution.endpoint_completions import complete_with_endpoint
from training.execution.json_safe import json_safe
from training.execution.model_loading import load_for_generation, load_scorer, load_tokenizer
from training.execution.result import RunResult
from training.forms.judges import PEOPLE, parse_judges
from training.gpt.config import HardwareConfig, SamplingConfig
from training.gpt.errors import InputError
from training.gpt.generation.generate import complete
from training.gpt.generation.prompts import sift_prompts
from training.gpt.tokenizer import Tokenizer
from training.models import Endpoint, ModelVersion, Run
from training.rlhf.evaluation.best_of_n import choose_best
from training.rlhf.evaluation.text_statistics import text_statistics
from training.rlhf.evaluation.win_rate import RateEstimate, WinRate, agreement_rate, estimate_rate
from training.rlhf.reward_functions import Scorer

SEED_OFFSET = 1_000_003
"""The difference between the seeds of the two."""

Writer = ModelVersion | Endpoint


@dataclass(frozen=True)
class Contest:
    """The two that are compared, and the project."""

    project: Project
    writer: Writer
    opponent: Writer

    @property
    def generators(self) -> tuple[Generator, Generator]:
        """The generators of the two."""
        assert self.writer.generator is not None
        assert self.opponent.generator is not None
        return self.writer.generator, self.opponent.generator


def find_writer(name: str) -> Writer:
    """The version or endpoint of that name."""
    return Endpoint.objects.filter(name=name).first() or ModelVersion.objects.get(name=name)


def execute(run: Run, attempt: Attempt) -> RunResult:
    """Generate completions with both sides if needed, judge them, and open tasks for people.

    People's answers are those to all blind tasks of the two in the project, whichever run opened them. The
    agreement of a scorer with people is measured on the texts that the people read.
    """
    writer = run.endpoint or run.policy
    assert writer is not None
    assert run.project is not None
    contest = Contest(run.project, writer, find_writer(run.parameters["against"]))
    judges = parse_judges(run.parameters["judge"])
    scorers = {name: load_scorer(name) for name in judges if name != PEOPLE}
    wanted, scored = run.parameters["tasks"], run.parameters["prompts"] if scorers else 0

    answers = list(head_to_head_comparisons(contest.project, *contest.generators)) if PEOPLE in judges else []
    if not answers and not scorers and not wanted:
        raise InputError(no_answers_message(contest))
    heldout = (
        least_compared_prompts(contest.project, *contest.generators)
        if wanted
        else contest.project.prompts.filter(split=Prompt.Split.HELDOUT).order_by("pk")
    )
    notes: list[str] = []
    prompts = prompts_for_both(run, contest, heldout, count=max(wanted, scored), notes=notes)
    sampling, rival_sampling = sampling_configs(run, contest)
    ours = write_completions(
        run, attempt, contest.writer, prompts, sampling, samples=run.parameters["best_of"], notes=notes
    )
    attempt.report("", progress=0.35)
    theirs = write_completions(run, attempt, contest.opponent, prompts, rival_sampling, notes=notes)
    attempt.report("", progress=0.7)
    prompts = [prompt for prompt in prompts if prompt.pk in ours and prompt.pk in theirs]
    texts = [prompt.for_models for prompt in prompts]
    candidates = [[each.text for each in ours[prompt.pk]] for prompt in prompts]
    chooser = load_scorer(run.reward.name) if run.reward else None
    chosen = choose_best(chooser, texts, candidates) if chooser else [text for (text,) in candidates]
    new_pairs = Pairs(texts, chosen, [theirs[prompt.pk][0].text for prompt in prompts])
    opened = differing_completions(contest, prompts, ours, theirs)[:wanted]
    if wanted and not opened:
        raise InputError("tasks: both wrote the same text to every prompt, so there is nothing to compare.")

    metrics = judge_completions(attempt, contest, judges, scorers, answers=answers, new_pairs=new_pairs)
    metrics["notes"] = [*notes, *independence_notes(run.policy, run.reward, scorers)]
    if chooser:
        metrics["best_of"] = best_of_curve(texts, candidates, chooser, scorers)
    if wanted:
        metrics["tasks"] = len(opened)
    if len(opened) < wanted:
        metrics["notes"].append(
            f"{len(opened)} tasks were opened instead of {wanted}: each needs another held-out prompt to "
            "which the two wrote different texts. Evaluate again to open more."
        )
    return RunResult(
        metrics=metrics,
        record=lambda: create_blind_tasks(
            project=contest.project,
            completions=opened,
            priority=BLIND_TASK_PRIORITY,
        ),
    )


def judge_completions(
    attempt: Attempt,
    contest: Contest,
    judges: Sequence[str],
    scorers: Mapping[str, Scorer],
    *,
    answers: Sequence[HeadToHeadComparison],
    new_pairs: Pairs,
) -> dict[str, Any]:
    """The metrics of each judge: scorers judge the new completions, people those in their tasks."""
    people_pairs = Pairs(
        [each.prompt for each in answers], [each.first for each in answers], [each.second for each in answers]
    )
    by_people = [each.points for each in answers]
    rows = []
    new_pair_results: dict[str, WinRate] = {}
    people_pair_results: dict[str, WinRate] = {}
    for name in judges:
        attempt.raise_if_stopped()
        attempt.report(f"judging by {name}")
        if name == PEOPLE:
            rows.append(people_row(contest, answers, people_pairs))
            continue
        new_pair_results[name] = new_pairs.win_rate(scorers[name])
        agreed: RateEstimate | None = None
        if answers:
            people_pair_results[name] = people_pairs.win_rate(scorers[name])
            agreed = agreement_rate(
                people_pair_results[name].points, by_people, clusters=people_pairs.prompts
            )
        rows.append(scorer_row(name, new_pair_results[name], new_pairs, agreed))
    shown = new_pairs if new_pairs.prompts else people_pairs
    return {
        "prompts": len(set(shown.prompts)),
        "judges": rows,
        "texts": [dataclasses.asdict(text_statistics(side)) for side in (shown.ours, shown.theirs) if side],
        "examples": examples(
            points_by_pair(people_pairs, by_people),
            people_pairs,
            people_pair_results,
            new_pairs,
            new_pair_results,
        ),
    }


def sampling_configs(run: Run, contest: Contest) -> tuple[SamplingConfig, SamplingConfig]:
    """The sampling configs of the two: equal except for independent seeds.

    With the same seed, two similar versions would write the same text to most prompts, and the others would
    show how one changed the other's texts rather than which one is better. The seed also depends on the
    number of existing tasks, so that later tasks get new samples.
    """
    sampling = config_of(SamplingConfig, run)
    if sampling.seed < 0:
        return sampling, sampling
    existing = (
        head_to_head_progress(contest.project, *contest.generators).tasks if run.parameters["tasks"] else 0
    )
    ours, theirs = (
        dataclasses.replace(sampling, seed=sampling.seed + existing + shift) for shift in (0, SEED_OFFSET)
    )
    return ours, theirs


def prompts_for_both(
    run: Run, contest: Contest, prompts: Iterable[Prompt], *, count: int, notes: list[str]
) -> list[Prompt]:
    """The first `count` prompts that leave room in the contexts of both, before either writes anything.

    Those left out are mentioned in `notes`. Endpoints say themselves what they refuse.
    """
    if not count:
        return []
    prompts = list(prompts)
    for writer in (contest.writer, contest.opponent):
        if not isinstance(writer, Endpoint):
            tokenizer, context = load_tokenizer(writer)
            sifted = sift_prompts(
                reading_as_asked(run, tokenizer),
                prompts,
                context=context,
                text=lambda prompt: prompt.for_models,
            )
            notes += [f"{writer}: {note}" for note in sifted.notes]
            prompts = sifted.kept
    return prompts[:count]


def write_completions(
    run: Run,
    attempt: Attempt,
    writer: Writer,
    prompts: Sequence[Prompt],
    sampling: SamplingConfig,
    *,
    samples: int = 1,
    notes: list[str],
) -> dict[int, list[SampleText]]:
    """`samples` completions of each prompt, by the prompt's id.

    Prompts that an endpoint refuses to complete are left out, and mentioned in `notes`.
    """
    if not prompts:
        return {}
    attempt.raise_if_stopped()
    attempt.report(f"sampling {writer.name}")
    if isinstance(writer, Endpoint):
        return complete_with_endpoint(run, attempt, writer, prompts, sampling, samples=samples, notes=notes)
    chat = run.parameters.get("chat", False)
    model, tokenizer = load_for_generation(
        writer, config_of(HardwareConfig, run), chat=chat and writer == run.policy
    )
    completions = complete(
        model,
        reading_as_asked(run, tokenizer),
        [prompt.for_models for prompt in prompts],
        sampling,
        samples_per_prompt=samples,
        should_stop=attempt.should_stop,
    )
    attempt.raise_if_stopped()
    parameters = dataclasses.asdict(sampling)
    return {
        prompt.pk: [SampleText(json_safe(each.text), parameters) for each in texts]
        for prompt, texts in zip(prompts, completions, strict=True)
    }


def reading_as_asked(run: Run, tokenizer: Tokenizer) -> Tokenizer:
    """The tokenizer of one of the two, which reads prompts as the run's option `chat` says.

    One of the two may have no chat template.
    """
    return tokenizer.with_chat(always=tokenizer.always_chat or run.parameters.get("chat", False))


def differing_completions(
    contest: Contest,
    prompts: Sequence[Prompt],
    ours: Mapping[int, Sequence[SampleText]],
    theirs: Mapping[int, Sequence[SampleText]],
) -> list[tuple[Prompt, Mapping[Generator, SampleText]]]:
    """The prompts with different completions, and those completions; equal ones cannot be compared."""
    first, second = contest.generators
    pairs = [(prompt, ours[prompt.pk][0], theirs[prompt.pk][0]) for prompt in prompts]
    return [(prompt, {first: a, second: b}) for prompt, a, b in pairs if a.text != b.text]


def no_answers_message(contest: Contest) -> str:
    """Why there is no win rate by people yet, and what to do."""
    found = head_to_head_progress(contest.project, *contest.generators)
    if not found.tasks:
        return (
            f"judge: there are no blind tasks that compare {contest.writer} with {contest.opponent} yet; "
            "open some with --tasks N."
        )
    return (
        f"judge: none of the {found.tasks} blind tasks has a comparison yet; people find them at "
        f"{contest.project.get_absolute_url()}"
    )


def people_row(
    contest: Contest, answers: Sequence[HeadToHeadComparison], people_pairs: Pairs
) -> dict[str, Any]:
    """The metrics of people as a judge. The interval is clustered by prompt."""
    points = [each.points for each in answers]
    by_annotator: dict[str, list[float]] = defaultdict(list)
    for each in answers:
        by_annotator[each.annotator].append(each.points)
    return {
        "judge": PEOPLE,
        "kind": "blind",
        "won": share_as_json(estimate_rate(points, clusters=people_pairs.prompts) if points else None),
        "ties": points.count(0.5),
        "prompts": len(set(people_pairs.prompts)),
        "longer_won": share_as_json(people_pairs.longer_win_rate(points)),
        "annotators": [
            {"annotator": name, "answers": len(own), "rate": fmean(own)}
            for name, own in sorted(by_annotator.items())
        ],
        **dataclasses.asdict(head_to_head_progress(contest.project, *contest.generators)),
    }


def independence_notes(
    policy: ModelVersion | None, chooser: ModelVersion | None, judges: Iterable[str]
) -> list[str]:
    """A note for each judge that influenced the texts it judges."""
    targets = tuned_against(policy) if policy else set()
    return [
        f"{policy} was tuned against {name}: a win by {name} shows that the tuning worked, not that the "
        "texts are better. Ask people, or use another judge."
        if name in targets
        else f"{name} selected the completions that it judges. Ask people, or use another judge."
        for name in judges
        if name in targets or (chooser is not None and name == chooser.name)
    ]


def tuned_against(version: ModelVersion) -> set[str]:
    """The names of the reward models that the version or one of its ancestors was tuned against."""
    names = set()
    ancestor: ModelVersion | None = version
    while ancestor is not None:
        if ancestor.run is not None and ancestor.run.reward is not None:
            names.add(ancestor.run.reward.name)
        ancestor = ancestor.parent
    return names
