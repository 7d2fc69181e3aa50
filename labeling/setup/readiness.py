"""The checklist of what a project needs before annotators can start."""

from dataclasses import dataclass

from django.db.models import Count, Q
from django.utils import timezone

from labeling.models import Invitation, Project, Prompt
from labeling.people.accounts import project_annotators


@dataclass(frozen=True)
class ReadinessStep:
    """One item of the checklist, with a summary and the page anchor where it is set up."""

    name: str
    anchor: str
    done: bool
    summary: str
    is_required: bool = True


def pluralise_count(number: int, noun: str) -> str:
    """A number with its noun: 1 task, 2 tasks, 1,200 tasks."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def readiness_steps(project: Project) -> list[ReadinessStep]:
    """Feedback, guidelines, prompts, samples and people."""
    return [
        ReadinessStep("Feedback", "feedback", done=True, summary=project.kind.label),
        _guidelines(project),
        _prompts(project),
        _samples(project),
        _people(project),
    ]


def _guidelines(project: Project) -> ReadinessStep:
    current = project.guidelines
    summary = f"Version {current.version}" if current else "None yet: people judge by their own preferences"
    done = current is not None
    return ReadinessStep("Guidelines", "guidelines", done=done, summary=summary, is_required=False)


def _prompts(project: Project) -> ReadinessStep:
    heldout = Count("pk", filter=Q(split=Prompt.Split.HELDOUT))
    counts = project.prompts.aggregate(all=Count("pk"), heldout=heldout)
    summary = pluralise_count(counts["all"], "prompt") if counts["all"] else "No prompts yet"
    if counts["heldout"]:
        summary += f", {counts['heldout']:,} held out"
    return ReadinessStep("Prompts", "import", done=bool(counts["all"]), summary=summary)


def _samples(project: Project) -> ReadinessStep:
    tasks = project.tasks.ordinary()
    counts = tasks.aggregate(all=Count("pk"), open=Count("pk", filter=Q(open__gt=0)))
    if not counts["all"]:
        return ReadinessStep(
            "Samples", "from-model", done=False, summary="No samples yet: generate or import them"
        )
    summary = f"{pluralise_count(counts['all'], 'task')}, {counts['open']:,} of them open"
    return ReadinessStep("Samples", "from-model", done=counts["open"] > 0, summary=summary)


def _people(project: Project) -> ReadinessStep:
    if not project.is_active:
        return ReadinessStep("People", "people", done=False, summary="The project is not active")
    people = project_annotators(project).count()
    waiting = Invitation.objects.filter(accepted=None, withdrawn=None, expires__gt=timezone.now())
    invited = waiting.count() if project.everybody else waiting.filter(projects=project).count()
    summary = pluralise_count(people, "annotator") if people else "No annotators yet"
    if invited:
        summary += f", {invited} invited"
    return ReadinessStep("People", "people", done=people > 0, summary=summary)
