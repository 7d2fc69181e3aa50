"""The task queue: claiming tasks, leases, submitting and revising answers.

PostgreSQL guarantees consistency. A task's `open` counts its open slots; every change of a slot updates the
assignment and the task together, conditional on the assignment's expected state. If the condition fails,
another process got there first. One person's claims in a project are serialised by their `Cursor` row.
"""

from labeling.queue.claims import claim, claim_task, reclaim
from labeling.queue.leases import (
    MAX_REASON_LENGTH,
    LeaseLost,
    expire,
    release,
    release_all,
    renew,
    save_draft,
    skip,
)
from labeling.queue.limits import no_task_reason
from labeling.queue.submission import (
    MAX_CLIENT_KEY_LENGTH,
    MAX_EDITABLE_ANSWERS,
    NotEditable,
    editable_assignments,
    record_answered_task,
    revise,
    submit,
)

__all__ = [
    "MAX_CLIENT_KEY_LENGTH",
    "MAX_EDITABLE_ANSWERS",
    "MAX_REASON_LENGTH",
    "LeaseLost",
    "NotEditable",
    "claim",
    "claim_task",
    "editable_assignments",
    "expire",
    "no_task_reason",
    "reclaim",
    "record_answered_task",
    "release",
    "release_all",
    "renew",
    "revise",
    "save_draft",
    "skip",
    "submit",
]
