"""Simulated annotators: they claim tasks and submit answers through the same queue as people."""

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence

from django.contrib.auth.models import Group, User

from labeling import queue
from labeling.feedback import Answer, Best, Feedback, Pair, Score
from labeling.models import Project, Sample
from training.gpt.errors import InputError
from training.rlhf.config import SimulatedAnnotatorsConfig
from training.rlhf.feedback.simulated_annotators import SimulatedAnnotator, simulated_annotators
from training.rlhf.reward_functions import Scorer

SCALE_SAMPLES = 512


def answer_open_tasks(
    project: Project,
    scorer: Scorer,
    config: SimulatedAnnotatorsConfig,
    *,
    max_answers: int | None = None,
    on_answer: Callable[[int], object] = lambda _: None,
) -> int:
    """Let simulated annotators answer in turns until no tasks are left, or `max_answers` are reached. Returns
    the number of answers.

    Their noise is in units of the scorer's standard deviation over the project's samples. Raises InputError
    for projects where people rewrite: a scorer cannot write.
    """
    if not project.kind.is_comparative:
        raise InputError(
            f"project: a simulated annotator cannot rewrite the samples of “{project.slug}”; let people "
            "answer its tasks."
        )
    people = [
        (annotator, annotator_account(annotator))
        for annotator in simulated_annotators(config, scorer, **score_statistics(project, scorer))
    ]
    answered = 0
    while people:
        for annotator, account in list(people):
            if answered == max_answers:
                return answered
            assignment = queue.claim(annotator=account, project=project, control_tasks=False)
            if assignment is None:
                people.remove((annotator, account))
                continue
            answer = simulate_answer(
                annotator, project.kind, assignment.task.prompt.for_models, assignment.shown_samples()
            )
            queue.submit(assignment, answer, client_key=f"simulated-{assignment.pk}")
            answered += 1
            on_answer(answered)
    return answered


def simulate_answer(
    annotator: SimulatedAnnotator, kind: Feedback, prompt: str, samples: list[Sample]
) -> Answer:
    """The annotator's answer in this kind of feedback. Each criterion gets the overall rating."""
    texts = [sample.text for sample in samples]
    match kind:
        case Pair():
            first, second = texts
            grade = annotator.grade(prompt, first, second)
            return Answer(grade=grade, criteria=rate_criteria(kind.criteria, [grade]))
        case Score():
            scores = annotator.score(prompt, texts, scale=kind.scale)
            return Answer(scores=tuple(scores), criteria=rate_criteria(kind.criteria, scores))
    ranks = annotator.rank(prompt, texts)
    # Ties for the best are broken by the order shown, which is random.
    return Answer(best=1 + ranks.index(1)) if isinstance(kind, Best) else Answer(ranks=tuple(ranks))


def rate_criteria(names: Sequence[str], values: Iterable[int]) -> tuple[Mapping[str, int], ...]:
    """For each value, all criteria with that value; empty if there are no criteria."""
    return tuple(dict.fromkeys(names, value) for value in values) if names else ()


def annotator_account(annotator: SimulatedAnnotator) -> User:
    """The account of a simulated annotator. It has no password, so nobody can sign in with it."""
    user, created = User.objects.get_or_create(username=annotator.name)
    if created:
        user.set_unusable_password()
        user.save()
        user.groups.add(Group.objects.get(name="annotators"))
    return user


def score_statistics(project: Project, scorer: Scorer) -> dict[str, float]:
    """Mean and standard deviation of the scores of the project's latest samples; 1 for a deviation of 0."""
    samples = (
        Sample.objects.filter(prompt__project=project)
        .select_related("prompt")
        .order_by("-pk")[:SCALE_SAMPLES]
    )
    scores = scorer([sample.prompt.for_models for sample in samples], [sample.text for sample in samples])
    return {
        "mean": statistics.fmean(scores) if scores else 0.0,
        "deviation": (statistics.pstdev(scores) if len(scores) > 1 else 0.0) or 1.0,
    }
