"""Priorities of waiting tasks by their acquisition scores."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from django.db import connection, transaction
from django.db.models import Exists, F, OuterRef, QuerySet

from labeling.models import Assignment, Cursor, Project, Prompt, Task

FIRST_PRIORITY, LAST_PRIORITY = 1, 32_000
"""Priorities of prioritised tasks. New tasks have 0 and come before them until they are prioritised too."""


class PrioritisedTask(NamedTuple):
    """A task in its new order: why it was chosen, and its acquisition score, if that is why."""

    task: int  # its id
    choice: Task.Choice
    usefulness: float | None  # the acquisition score


def prioritisable_tasks(project: Project) -> QuerySet[Task]:
    """The tasks that may get a new priority: ordinary tasks of training prompts that nobody has begun.

    Tasks with a priority below 0, such as blind tasks, were put first on purpose and stay there.
    """
    begun = Assignment.objects.filter(task=OuterRef("pk"))
    waiting = Task.objects.waiting().filter(project=project, open=F("need"), priority__gte=0)
    return waiting.filter(~Exists(begun), prompt__split=Prompt.Split.TRAIN)


def set_task_priorities(project: Project, order: Sequence[PrioritisedTask]) -> int:
    """Set the project's task priorities to this order, with the reasons; returns how many tasks were moved.

    The queue is sorted by priority, then by id. Up to 32,000 tasks each have a priority of their own; beyond
    that, neighbours share one. Tasks begun in the meantime keep their priority.
    """
    block = max(1, math.ceil(len(order) / (LAST_PRIORITY - FIRST_PRIORITY + 1)))
    with transaction.atomic():
        # Locked: two concurrent runs could deadlock on each other's tasks.
        Project.objects.select_for_update(no_key=True).get(pk=project.pk)
        with connection.cursor() as cursor:
            cursor.execute(
                SET_PRIORITIES,
                {
                    "project": project.pk,
                    "tasks": [each.task for each in order],
                    "priorities": [FIRST_PRIORITY + place // block for place in range(len(order))],
                    "choices": [each.choice.value for each in order],
                    "usefulness": [each.usefulness for each in order],
                },
            )
            moved = int(cursor.rowcount)
        Cursor.objects.rewind(project, priority=FIRST_PRIORITY - 1)
    return moved


# `open = need` is checked on the row itself: a concurrent claim has changed it.
SET_PRIORITIES = """
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
