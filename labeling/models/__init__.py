"""Models of the labelling side: projects, tasks, assignments, annotations, snapshots and people."""

from labeling.models.annotations import Adjudication, Annotation, Judgement
from labeling.models.assignments import Assignment, Cursor
from labeling.models.imports import DataImport
from labeling.models.people import ImportedAnnotator, Invitation, WorkSettings
from labeling.models.projects import Generator, Guidelines, Membership, Project, Prompt, Sample
from labeling.models.snapshots import PreferenceSnapshot, SnapshotAnswer
from labeling.models.tasks import Gold, Task, TaskSample

__all__ = [
    "Adjudication",
    "Annotation",
    "Assignment",
    "Cursor",
    "DataImport",
    "Generator",
    "Gold",
    "Guidelines",
    "ImportedAnnotator",
    "Invitation",
    "Judgement",
    "Membership",
    "PreferenceSnapshot",
    "Project",
    "Prompt",
    "Sample",
    "SnapshotAnswer",
    "Task",
    "TaskSample",
    "WorkSettings",
]
