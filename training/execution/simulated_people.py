"""Simulated people at work: they claim, judge and submit through the same queue as everybody else."""

import statistics
from collections.abc import Callable

from django.contrib.auth.models import Group, User

from labeling import queue
from labeling.feedback import Answer
from labeling.models import Project, Sample
from training.rlhf.config import AnnotatorsConfig
from training.rlhf.feedback.annotators import SimulatedAnnotator, simulated_annotators
from training.rlhf.scorers import Scorer

SCALE_SAMPLES = 512


def answer_open_tasks(
    project: Project,
    scorer: Scorer,
    config: AnnotatorsConfig,
    *,
    on_answer: Callable[[int], object] = lambda _: None,
) -> int:
    """Let simulated annotators take turns until none is left a task; returns the number of answers.

    Their noise is in units of the taste's spread over the project's own samples.
    """
    people = [
        (annotator, account_of(annotator))
        for annotator in simulated_annotators(config, scorer, deviation=spread(project, scorer))
    ]
    answered = 0
    while people:
        for annotator, account in list(people):
            assignment = queue.claim(annotator=account, project=project)
            if assignment is None:
                people.remove((annotator, account))
                continue
            answer = judge(annotator, project, assignment.task.prompt.text, assignment.shown_samples())
            queue.submit(assignment, answer, client_key=f"simulated-{assignment.pk}")
            answered += 1
            on_answer(answered)
    return answered


def judge(annotator: SimulatedAnnotator, project: Project, prompt: str, samples: list[Sample]) -> Answer:
    """The annotator's ranking; where the project asks for scores, the ranks spread over its scale."""
    ranks = annotator.rank(prompt, [sample.text for sample in samples])
    if project.feedback == Project.FeedbackKind.RANK:
        return Answer(ranks=tuple(ranks))
    worst = max(ranks)
    steps = (project.scale - 1) / max(1, worst - 1)
    scores = tuple(round(1 + (worst - rank) * steps) for rank in ranks)
    return Answer(scores=scores, criteria=tuple(dict.fromkeys(project.criteria, score) for score in scores))


def account_of(annotator: SimulatedAnnotator) -> User:
    """The account a simulated person works under; it has no password, so nobody can sign in with it."""
    user, created = User.objects.get_or_create(username=annotator.name)
    if created:
        user.set_unusable_password()
        user.save()
        user.groups.add(Group.objects.get(name="annotators"))
    return user


def spread(project: Project, scorer: Scorer) -> float:
    """Standard deviation of the taste over samples of the project; 1 where all are alike."""
    samples = (
        Sample.objects.filter(prompt__project=project)
        .select_related("prompt")
        .order_by("-pk")[:SCALE_SAMPLES]
    )
    scores = scorer([sample.prompt.text for sample in samples], [sample.text for sample in samples])
    return (statistics.pstdev(scores) if len(scores) > 1 else 0.0) or 1.0
