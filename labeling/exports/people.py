"""How exports call the annotators: by number, or by name."""

from collections.abc import Iterator
from itertools import count

from django.contrib.auth.models import User

from labeling.models import Assignment, ImportedAnnotator, Project
from training.formats.answers import FORMAT


def annotator_names(project: Project, *, names: bool) -> dict[int, str]:
    """What each person who answered or skipped a task of the project is called, by key.

    Without `names`, they are numbered in the order of their accounts. Who came with an export of another site
    is called as there, so that exporting again gives the same rows.
    """
    done = Assignment.objects.filter(
        project=project, state__in=[Assignment.State.SUBMITTED, Assignment.State.SKIPPED]
    )
    people = User.objects.filter(pk__in=done.values("annotator")).order_by("pk")
    moved = dict(
        ImportedAnnotator.objects.filter(source=FORMAT, person__in=people).values_list("person", "name")
    )
    numbers = _numbers_without(set(moved.values()))
    return {
        pk: moved.get(pk) or (username if names else next(numbers))
        for pk, username in people.values_list("pk", "username")
    }


def _numbers_without(taken: set[str]) -> Iterator[str]:
    """1, 2, 3 … as texts, without those that are taken."""
    return (number for number in map(str, count(1)) if number not in taken)
