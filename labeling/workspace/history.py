"""A person's last answers, each in one line, to look at again."""

from dataclasses import dataclass

from django.contrib.auth.models import User
from django.utils import timezone

from labeling.models import Annotation, Assignment, Project
from labeling.queue import last_answers
from labeling.workspace.answer_text import in_words


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One task that was answered or skipped."""

    assignment: Assignment
    said: str
    """Empty where it was skipped."""
    flagged: bool = False
    revision: int = 0
    today: bool

    @property
    def skipped(self) -> bool:
        return self.assignment.state == Assignment.State.SKIPPED


def history_of(annotator: User, project: Project | None = None) -> list[Entry]:
    """The person's own answers that can still be changed, and skipped tasks, newest first."""
    last = last_answers(annotator=annotator, project=project)
    counting = {
        annotation.assignment_id: annotation
        for annotation in Annotation.objects.filter(assignment__in=last)
        .counting()
        .select_related("assignment__project")
        .prefetch_related("judgements")
    }
    entries = []
    today = timezone.localdate()
    for assignment in last:
        annotation = counting.get(assignment.pk)
        assert assignment.finished is not None  # so says the database
        entry = Entry(
            assignment=assignment,
            said=in_words(annotation.answer) if annotation else "",
            flagged=annotation.flagged if annotation else False,
            revision=annotation.revision if annotation else 0,
            today=timezone.localdate(assignment.finished) == today,
        )
        entries.append(entry)
    return entries
