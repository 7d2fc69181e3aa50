"""Plain objects that the labelling tests start from."""

from django.contrib.auth.models import Group, User

from labeling.models import Assignment, Generator, Project, Task
from labeling.prompts import add_prompts
from labeling.queue import claim
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


def make_project(slug: str = "stories", **settings: object) -> Project:
    """A project without gold and repeats, which come by chance: who tests them asks for them."""
    unchecked = {"gold_percent": 0, "repeat_percent": 0}
    return Project.objects.create(**{"slug": slug, "name": slug.title(), **unchecked, **settings})


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
