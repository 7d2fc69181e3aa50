"""What a project still lacks until somebody can answer its first task."""

from dataclasses import dataclass

from django.db.models import Count, Q
from django.utils import timezone

from labeling.models import Invitation, Project, Prompt
from labeling.people.accounts import annotators_of


@dataclass(frozen=True)
class Step:
    """One thing that a project needs: whether it is there, what there is of it, and where it is set up."""

    name: str
    anchor: str
    done: bool
    says: str
    needed: bool = True


def counted(number: int, noun: str) -> str:
    """A number with its noun: 1 task, 2 tasks, 1,200 tasks."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def steps(project: Project) -> list[Step]:
    """What is asked, by which guidelines, about what, and of whom."""
    return [
        Step("What is asked", "asked", done=True, says=project.kind.label),
        _guidelines(project),
        _prompts(project),
        _samples(project),
        _people(project),
    ]


def _guidelines(project: Project) -> Step:
    current = project.guidelines
    says = f"Version {current.version}" if current else "None yet: people go by their own taste"
    return Step("Guidelines", "guide", done=current is not None, says=says, needed=False)


def _prompts(project: Project) -> Step:
    heldout = Count("pk", filter=Q(split=Prompt.Split.HELDOUT))
    there = project.prompts.aggregate(all=Count("pk"), heldout=heldout)
    says = counted(there["all"], "prompt") if there["all"] else "No prompts yet"
    if there["heldout"]:
        says += f", {there['heldout']:,} held out"
    return Step("Prompts", "import", done=bool(there["all"]), says=says)


def _samples(project: Project) -> Step:
    tasks = project.tasks.ordinary()
    there = tasks.aggregate(all=Count("pk"), open=Count("pk", filter=Q(open__gt=0)))
    if not there["all"]:
        return Step(
            "Samples", "from-model", done=False, says="No samples yet: let a model write or import a file"
        )
    says = f"{counted(there['all'], 'task')}, {there['open']:,} of them open"
    return Step("Samples", "from-model", done=there["open"] > 0, says=says)


def _people(project: Project) -> Step:
    if not project.is_active:
        return Step("People", "people", done=False, says="The project is closed: it hands out no tasks")
    people = annotators_of(project).count()
    waiting = Invitation.objects.filter(accepted=None, withdrawn=None, expires__gt=timezone.now())
    invited = waiting.count() if project.everybody else waiting.filter(projects=project).count()
    says = counted(people, "annotator") if people else "Nobody may label yet"
    if invited:
        says += f", {invited} invited"
    return Step("People", "people", done=people > 0, says=says)
