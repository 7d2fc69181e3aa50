"""An annotator's recent answers, one line each, that can be opened again."""

from dataclasses import dataclass

from django.contrib.auth.models import User
from django.utils import timezone

from labeling.models import Annotation, Assignment, Project
from labeling.queue import editable_assignments
from labeling.workspace.answer_text import summarize_answer


@dataclass(frozen=True, kw_only=True)
class HistoryEntry:
    """One task that was answered or skipped."""

    assignment: Assignment
    answer_text: str
    """Empty if the task was skipped."""
    flagged: bool = False
    revision: int = 0
    is_today: bool

    @property
    def is_skipped(self) -> bool:
        return self.assignment.state == Assignment.State.SKIPPED


def answer_history(annotator: User, project: Project | None = None) -> list[HistoryEntry]:
    """The annotator's answers that can still be edited, and skipped tasks, newest first."""
    assignments = editable_assignments(annotator=annotator, project=project)
    annotations = {
        annotation.assignment_id: annotation
        for annotation in Annotation.objects.filter(assignment__in=assignments)
        .latest_revisions()
        .select_related("assignment__project")
        .prefetch_related("judgements")
    }
    entries = []
    today = timezone.localdate()
    for assignment in assignments:
        annotation = annotations.get(assignment.pk)
        assert assignment.finished is not None  # a database constraint
        entry = HistoryEntry(
            assignment=assignment,
            answer_text=summarize_answer(annotation.answer) if annotation else "",
            flagged=annotation.flagged if annotation else False,
            revision=annotation.revision if annotation else 0,
            is_today=timezone.localdate(assignment.finished) == today,
        )
        entries.append(entry)
    return entries
