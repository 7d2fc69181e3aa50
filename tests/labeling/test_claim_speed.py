"""What a claim costs somebody who has answered thousands of tasks that are still open to others."""

import json
import statistics
import time
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction

from labeling.control_tasks import MIN_REPEAT_DISTANCE, REPEAT_WINDOW
from labeling.models import Cursor, Project
from labeling.queue import claim
from labeling.queue.claim_query import CLAIM
from tests.labeling.objects import annotator, make_project, make_tasks

pytestmark = pytest.mark.django_db

TASKS, ANSWERED, PEOPLE = 8000, 5000, 2000


@pytest.fixture
def grown() -> tuple[Project, User, User]:
    """A project with thousands of open tasks and two thousand people; a veteran and a newcomer.

    The veteran has answered thousands, all of them still open, and lost a few hundred that others filled.
    """
    project = make_project(samples_per_task=2, gold_percent=4, repeat_percent=3)
    [first] = make_tasks(project, 1, samples=2, need=3)
    veteran, newcomer = annotator("veteran"), annotator("newcomer")
    known: dict[str, Any] = {"project": project.pk, "prompt": first.prompt_id, "veteran": veteran.pk}
    known |= {"tasks": TASKS, "answered": ANSWERED, "people": PEOPLE}
    with connection.cursor() as cursor:
        for statement in GROW:
            cursor.execute(statement, known)
        cursor.execute("ANALYZE labeling_task, labeling_assignment, labeling_cursor, labeling_tasksample")
    return project, veteran, newcomer


def seconds_a_claim(project: Project, user: User) -> float:
    began = time.perf_counter()
    assignment = claim(annotator=user, project=project)
    took = time.perf_counter() - began
    assert assignment is not None
    # So that the next claim goes on in the queue, not back to what was given up.
    type(assignment).objects.filter(pk=assignment.pk).update(state="submitted", finished=assignment.claimed)
    return took


def test_a_veterans_claim_costs_as_little_as_a_newcomers(grown: tuple[Project, User, User]) -> None:
    project, veteran, newcomer = grown
    times: dict[User, list[float]] = {veteran: [], newcomer: []}
    for _ in range(40):
        for user, taken in times.items():  # in turns: whatever else the machine does falls on both
            taken.append(seconds_a_claim(project, user))
    ratio = statistics.median(times[veteran]) / statistics.median(times[newcomer])
    assert ratio < 2, f"a veteran's claim takes {ratio:.1f} times as long"


@pytest.mark.parametrize("draw", ["", "gold", "repeat"])
def test_a_claim_walks_the_index_of_waiting_tasks(grown: tuple[Project, User, User], draw: str) -> None:
    project, veteran, _ = grown
    place = Cursor.objects.get(annotator=veteran, project=project)
    plan = explain(project, veteran, draw, (place.priority, place.after))
    walked = [node for node in nodes(plan) if node.get("Index Name") == "labeling_task_waiting"]
    assert walked
    # From the cursor on: nothing that the veteran has answered is looked at.
    assert all(node["Actual Rows"] <= 3 for node in walked)
    assert [node["Relation Name"] for node in nodes(plan) if node["Node Type"] == "Seq Scan"] == []


def explain(project: Project, user: User, draw: str, after: tuple[int, int]) -> dict[str, Any]:
    """The plan of a claim as it ran; the claim itself is undone."""
    values: dict[str, Any] = {
        "annotator": user.pk, "project": project.pk, "priority": after[0], "after": after[1],
        "lease_minutes": 12, "remembered": 20, "control_tasks": True, "draw": draw,
        "apart": MIN_REPEAT_DISTANCE, "reach": REPEAT_WINDOW,
    }  # fmt: skip
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {CLAIM}", values)
        [plan] = cursor.fetchone()
        transaction.set_rollback(True)
    [explained] = json.loads(plan) if isinstance(plan, str) else plan
    top: dict[str, Any] = explained["Plan"]
    return top


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """A plan and all below it that ran."""
    below = [node for each in plan.get("Plans", []) for node in nodes(each)]
    return below if plan["Actual Loops"] == 0 else [plan, *below]


GROW = [
    """
    INSERT INTO labeling_task (project_id, prompt_id, priority, need, open, kind, choice, created)
    SELECT %(project)s, %(prompt)s, 0, 3, 2, 'ordinary', 'random', now()
    FROM generate_series(1, %(tasks)s)
    """,
    """
    INSERT INTO labeling_tasksample (task_id, sample_id, position)
    SELECT task.id, sample.id, sample.place
    FROM labeling_task AS task,
         (SELECT id, row_number() OVER (ORDER BY id) AS place FROM labeling_sample) AS sample
    WHERE NOT EXISTS (SELECT FROM labeling_tasksample WHERE task_id = task.id)
    """,
    """
    INSERT INTO labeling_assignment
        (task_id, project_id, annotator_id, state, shown_order, lease_until, claimed, finished, skip_reason)
    SELECT id, %(project)s, %(veteran)s, 'submitted', ARRAY(SELECT id FROM labeling_sample ORDER BY id),
           now(), now(), now() - make_interval(secs => 10000 - id %% 10000), ''
    FROM labeling_task ORDER BY id LIMIT %(answered)s
    """,
    """
    UPDATE labeling_assignment SET state = 'expired' WHERE task_id %% 20 = 0
    """,
    """
    UPDATE labeling_task SET open = 0 WHERE id %% 20 = 0
    """,
    """
    INSERT INTO auth_user
        (username, password, first_name, last_name, email, is_superuser, is_staff, is_active, date_joined)
    SELECT 'person ' || number, '', '', '', '', false, false, true, now()
    FROM generate_series(1, %(people)s) AS number
    """,
    """
    INSERT INTO labeling_cursor (annotator_id, project_id, priority, after)
    SELECT id, %(project)s, 0, (SELECT min(id) FROM labeling_task) FROM auth_user
    WHERE username LIKE 'person %%'
    """,
    """
    INSERT INTO labeling_cursor (annotator_id, project_id, priority, after)
    SELECT %(veteran)s, %(project)s, 0, max(task_id) FROM labeling_assignment
    """,
]
