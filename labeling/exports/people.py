"""How exports call the annotators: by number, or by name."""

from django.contrib.auth.models import User

from labeling.models import Assignment, Project


def annotator_names(project: Project, *, names: bool) -> dict[int, str]:
    """What each person who answered or skipped a task of the project is called, by key.

    Without `names`, they are numbered from 1 in the order of their accounts.
    """
    done = Assignment.objects.filter(
        project=project, state__in=[Assignment.State.SUBMITTED, Assignment.State.SKIPPED]
    )
    people = User.objects.filter(pk__in=done.values("annotator")).order_by("pk")
    return {
        pk: username if names else str(number)
        for number, (pk, username) in enumerate(people.values_list("pk", "username"), start=1)
    }
