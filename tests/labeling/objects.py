"""Plain objects that the labelling tests start from."""

from datetime import datetime, timedelta

from django.contrib.auth.models import Group, User
from django.utils import timezone

from labeling.feedback import Answer
from labeling.models import Annotation, Assignment, Generator, Membership, Project, Task
from labeling.prompts import add_prompts
from labeling.queue import claim, submit
from labeling.tasks import create_tasks

GENERATOR = "story-model-7"


def annotator(name: str = "ann") -> User:
    user = User.objects.create_user(name)
    user.groups.add(Group.objects.get(name="annotators"))
    return user


def admin(name: str = "ada") -> User:
    user = User.objects.create_user(name, is_staff=True)
    user.groups.add(Group.objects.get(name="admins"))
    return user


def reviewer(name: str = "rea") -> User:
    user = User.objects.create_user(name)
    user.groups.add(Group.objects.get(name="reviewers"))
    return user


def member(project: Project, role: str = "annotators", name: str = "mia") -> User:
    """Somebody of no group, with this role in one project alone."""
    user = User.objects.create_user(name)
    Membership.objects.create(project=project, person=user, role=role)
    return user


def joins(user: User, project: Project, role: str = "annotators") -> User:
    """The user, now a member of the project."""
    Membership.objects.create(project=project, person=user, role=role)
    return user


def make_project(slug: str = "stories", **settings: object) -> Project:
    """A project without gold and repeats, which come by chance: who tests them asks for them."""
    unchecked = {"gold_percent": 0, "repeat_percent": 0}
    return Project.objects.create(**{"slug": slug, "name": slug.title(), **unchecked, **settings})


def checking(project: Project, *, gold: int = 0, repeat: int = 0) -> Project:
    """The project with these percentages, beyond the half that the database allows: so in memory alone."""
    project.gold_percent, project.repeat_percent = gold, repeat
    return project


def make_tasks(project: Project, count: int = 1, *, samples: int = 3, need: int | None = None) -> list[Task]:
    """Tasks whose samples read `A0`, `B0`, … for prompt 0, and so on."""
    generator, _ = Generator.objects.get_or_create(name=GENERATOR)
    prompts = add_prompts(project, [f"Prompt {number}" for number in range(count)])
    completions = {
        prompt: [f"{letter}{number}" for letter in "ABCDEFGHI"[:samples]]
        for number, prompt in enumerate(prompts)
    }
    return create_tasks(project=project, generator=generator, completions=completions, need=need)


def claimed(user: User, project: Project) -> Assignment:
    """The user's next task, which must exist."""
    assignment = claim(annotator=user, project=project)
    assert assignment is not None
    return assignment


def answered(
    user: User, project: Project, answer: Answer | None = None, *, at: datetime | None = None
) -> Annotation:
    """The user's answer (else "all bad") to their next task, given at that moment."""
    annotation = submit(claimed(user, project), answer or Answer(all_bad=True), client_key="k")
    if at is not None:
        Assignment.objects.filter(pk=annotation.assignment_id).update(finished=at)
    return annotation


def leased(user: User, task: Task) -> Assignment:
    """A lease on this very task, its samples in the order of their places."""
    places = task.task_samples.order_by("position")
    return Assignment.objects.create(
        task=task,
        project=task.project,
        annotator=user,
        shown_order=[place.sample_id for place in places],
        claimed=timezone.now(),
        lease_until=timezone.now() + timedelta(minutes=10),
    )


def says(
    user: User, task: Task, answer: Answer, *, turned: bool = False, at: datetime | None = None
) -> Annotation:
    """The user's answer to this very task, shown in the order of its places, or the other way round."""
    assignment = leased(user, task)
    if turned:
        assignment.shown_order = assignment.shown_order[::-1]
        assignment.save(update_fields=["shown_order"])
    annotation = submit(assignment, answer, client_key="k")
    if at is not None:
        Assignment.objects.filter(pk=assignment.pk).update(finished=at)
    return annotation


def letters(assignment: Assignment) -> str:
    """The samples' letters in the order shown."""
    return "".join(sample.text[0] for sample in assignment.shown_samples())


def ranks_for(assignment: Assignment, order: str) -> tuple[int, ...]:
    """Ranks that put the samples in this order of letters; "A=B" in "CA=B" makes a tie."""
    rank = {}
    place = 0
    previous = ""
    for letter in order:
        if letter != "=":
            place += previous != "="
            rank[letter] = place
        previous = letter
    return tuple(rank[letter] for letter in letters(assignment))
