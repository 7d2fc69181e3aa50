"""Simulated people at work: they claim, judge and submit through the same queue as everybody else."""

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence

from django.contrib.auth.models import Group, User

from labeling import queue
from labeling.feedback import Answer, Best, Feedback, Pair, Score
from labeling.models import Project, Sample
from training.gpt.errors import InputError
from training.rlhf.config import AnnotatorsConfig
from training.rlhf.feedback.simulated_annotators import SimulatedAnnotator, simulated_annotators
from training.rlhf.scorers import Scorer

SCALE_SAMPLES = 512


def answer_open_tasks(
    project: Project,
    scorer: Scorer,
    config: AnnotatorsConfig,
    *,
    most: int | None = None,
    on_answer: Callable[[int], object] = lambda _: None,
) -> int:
    """Let simulated annotators take turns until none is left a task, or there are `most` answers; returns the
    number of answers.

    Their noise is in units of the taste's spread over the project's own samples. Raises InputError where
    people rewrite: a taste judges, and cannot write.
    """
    if not project.kind.compares:
        raise InputError(
            f"project: a taste cannot rewrite the samples of “{project.slug}”; let people answer its tasks."
        )
    people = [
        (annotator, account_of(annotator))
        for annotator in simulated_annotators(config, scorer, **spread(project, scorer))
    ]
    answered = 0
    while people:
        for annotator, account in list(people):
            if answered == most:
                return answered
            assignment = queue.claim(annotator=account, project=project, checks=False)
            if assignment is None:
                people.remove((annotator, account))
                continue
            answer = judge(annotator, project.kind, assignment.task.prompt.text, assignment.shown_samples())
            queue.submit(assignment, answer, client_key=f"simulated-{assignment.pk}")
            answered += 1
            on_answer(answered)
    return answered


def judge(annotator: SimulatedAnnotator, kind: Feedback, prompt: str, samples: list[Sample]) -> Answer:
    """What the annotator says in this kind of feedback; a criterion gets what the whole gets, for a taste has
    no others."""
    texts = [sample.text for sample in samples]
    match kind:
        case Pair():
            first, second = texts
            grade = annotator.grade(prompt, first, second)
            return Answer(grade=grade, criteria=as_criteria(kind.criteria, [grade]))
        case Score():
            scores = annotator.score(prompt, texts, scale=kind.scale)
            return Answer(scores=tuple(scores), criteria=as_criteria(kind.criteria, scores))
    ranks = annotator.rank(prompt, texts)
    # A tie of the best is broken by the order shown, which is random.
    return Answer(best=1 + ranks.index(1)) if isinstance(kind, Best) else Answer(ranks=tuple(ranks))


def as_criteria(names: Sequence[str], values: Iterable[int]) -> tuple[Mapping[str, int], ...]:
    """Each value for all the criteria; nothing where there are none."""
    return tuple(dict.fromkeys(names, value) for value in values) if names else ()


def account_of(annotator: SimulatedAnnotator) -> User:
    """The account a simulated person works under; it has no password, so nobody can sign in with it."""
    user, created = User.objects.get_or_create(username=annotator.name)
    if created:
        user.set_unusable_password()
        user.save()
        user.groups.add(Group.objects.get(name="annotators"))
    return user


def spread(project: Project, scorer: Scorer) -> dict[str, float]:
    """Mean and standard deviation of the taste over samples of the project; a deviation of 1 where all are
    alike."""
    samples = (
        Sample.objects.filter(prompt__project=project)
        .select_related("prompt")
        .order_by("-pk")[:SCALE_SAMPLES]
    )
    scores = scorer([sample.prompt.text for sample in samples], [sample.text for sample in samples])
    return {
        "mean": statistics.fmean(scores) if scores else 0.0,
        "deviation": (statistics.pstdev(scores) if len(scores) > 1 else 0.0) or 1.0,
    }
