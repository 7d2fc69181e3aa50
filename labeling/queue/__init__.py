"""The queue: who gets which task, for how long, and what an answer needs to be stored.

PostgreSQL keeps it right. A task's `open` is the number of places nobody holds; every way of taking or
giving back a place changes the assignment and the task together, on the condition that the assignment is
still in the state expected. If it is not, somebody else got there first. One person's claims in a project
wait for each other, at the row that says how far down the queue they are (`Cursor`).
"""

from labeling.queue.claims import claim, claim_task, take_again
from labeling.queue.leases import (
    LARGEST_DRAFT,
    LONGEST_REASON,
    LeaseLost,
    expire,
    release,
    release_all,
    renew,
    save_draft,
    skip,
)
from labeling.queue.limits import rest_reason
from labeling.queue.submission import (
    LAST_EDITABLE,
    LONGEST_CLIENT_KEY,
    TooLate,
    last_answers,
    revise,
    submit,
)

__all__ = [
    "LARGEST_DRAFT",
    "LAST_EDITABLE",
    "LONGEST_CLIENT_KEY",
    "LONGEST_REASON",
    "LeaseLost",
    "TooLate",
    "claim",
    "claim_task",
    "expire",
    "last_answers",
    "release",
    "release_all",
    "renew",
    "rest_reason",
    "revise",
    "save_draft",
    "skip",
    "submit",
    "take_again",
]
