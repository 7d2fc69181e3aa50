"""The order in which waiting tasks are given out, once somebody has said how much each would teach."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from django.db import connection, transaction
from django.db.models import Exists, F, OuterRef, QuerySet

from labeling.models import Assignment, Cursor, Project, Prompt, Task

FIRST, LAST = 1, 32_000
"""Priorities of ordered tasks. What is opened later has 0, and comes before them until it is ordered too."""


class Placed(NamedTuple):
    """A task at its place in an order: why it stands there, and how useful it is if that is why."""

    task: int  # its id
    choice: Task.Choice
    usefulness: float | None


def orderable(project: Project) -> QuerySet[Task]:
    """The tasks that may be given another place: ordinary ones of training prompts that nobody has begun.

    What has a priority below 0 was put ahead for a reason of its own, as blind tasks are, and stays there.
    """
    begun = Assignment.objects.filter(task=OuterRef("pk"))
    waiting = Task.objects.waiting().filter(project=project, open=F("need"), priority__gte=0)
    return waiting.filter(~Exists(begun), prompt__split=Prompt.Split.TRAIN)


def order_tasks(project: Project, order: Sequence[Placed]) -> int:
    """Give the project's tasks these places in the queue, and keep why; returns how many were moved.

    The queue goes by priority, then by id: each task has a priority of its own, up to 32,000 of them; beyond
    that, neighbours share one. What somebody has begun in the meantime keeps its place.
    """
    block = max(1, math.ceil(len(order) / (LAST - FIRST + 1)))
    with transaction.atomic():
        # Two orders at once would wait for each other's tasks crosswise.
        Project.objects.select_for_update(no_key=True).get(pk=project.pk)
        with connection.cursor() as cursor:
            cursor.execute(
                ORDER,
                {
                    "project": project.pk,
                    "tasks": [each.task for each in order],
                    "priorities": [FIRST + place // block for place in range(len(order))],
                    "choices": [each.choice.value for each in order],
                    "usefulness": [each.usefulness for each in order],
                },
            )
            moved = int(cursor.rowcount)
        Cursor.objects.rewind(project, priority=FIRST - 1)
    return moved


# Whether nobody has begun a task is asked of its row as well: a claim that comes first has changed it.
ORDER = """
UPDATE labeling_task AS task
SET priority = placed.priority, choice = placed.choice, usefulness = placed.usefulness
FROM unnest(
    %(tasks)s::bigint[], %(priorities)s::smallint[], %(choices)s::text[], %(usefulness)s::float8[]
) AS placed (id, priority, choice, usefulness)
WHERE task.id = placed.id
  AND task.project_id = %(project)s
  AND task.kind = 'ordinary'
  AND task.open = task.need
  AND task.priority >= 0
  AND NOT EXISTS (SELECT FROM labeling_assignment AS begun WHERE begun.task_id = task.id)
"""
