"""What the labelling side keeps: what is asked (projects, tasks), who has it (assignments), what was said."""

from labeling.models.answers import Annotation, Judgement
from labeling.models.assignments import Assignment, Cursor
from labeling.models.projects import Generator, Guidelines, Project, Prompt, Sample
from labeling.models.snapshots import PreferenceSnapshot
from labeling.models.tasks import Task, TaskSample

__all__ = [
    "Annotation",
    "Assignment",
    "Cursor",
    "Generator",
    "Guidelines",
    "Judgement",
    "PreferenceSnapshot",
    "Project",
    "Prompt",
    "Sample",
    "Task",
    "TaskSample",
]
