"""The queue against a plain model of it: whatever people do, both say the same."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from labeling import queue
from labeling.control_tasks import MIN_REPEAT_DISTANCE, create_gold_task
from labeling.feedback import Answer
from labeling.models import Annotation, Assignment, Project, Task
from labeling.queue import MAX_EDITABLE_ANSWERS, LeaseLost, NotEditable
from tests.labeling.objects import annotator, make_project, make_tasks

LEASED, SUBMITTED, SKIPPED, EXPIRED, RELEASED = "leased", "submitted", "skipped", "expired", "released"
PEOPLE = 3


@dataclass
class Hold:
    """What one person has to do with one task."""

    state: str = LEASED
    lapsed: bool = False
    finished: int = 0
    revisions: int = 0


@dataclass
class Place:
    """A task as the model knows it."""

    priority: int
    need: int
    kind: str = "ordinary"
    origin: int | None = None
    holds: dict[int, Hold] = field(default_factory=dict)

    @property
    def open(self) -> int:
        return self.need - sum(hold.state in {LEASED, SUBMITTED} for hold in self.holds.values())


class Model:
    """A queue in plain Python: tasks and who holds them, nothing else."""

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self.tasks: dict[int, Place] = {}
        self.cursors: dict[int, tuple[int, int]] = {}
        self.clock = 0

    def tick(self) -> int:
        self.clock += 1
        return self.clock

    def held(self, person: int) -> int | None:
        for number, task in self.tasks.items():
            if person in task.holds and task.holds[person].state == LEASED:
                return number
        return None

    def answers(self, person: int) -> int:
        return sum(hold.state == SUBMITTED for hold in self.of(person).values())

    def of(self, person: int) -> dict[int, Hold]:
        return {number: task.holds[person] for number, task in self.tasks.items() if person in task.holds}

    def at_limit(self, person: int) -> bool:
        return self.limit is not None and self.answers(person) >= self.limit

    def last(self, person: int) -> list[int]:
        """Answered and skipped tasks, newest first."""
        done = {n: hold for n, hold in self.of(person).items() if hold.state in {SUBMITTED, SKIPPED}}
        return sorted(done, key=lambda number: -done[number].finished)[:MAX_EDITABLE_ANSWERS]

    def expire(self) -> None:
        for task in self.tasks.values():
            for hold in task.holds.values():
                if hold.state == LEASED and hold.lapsed:
                    hold.state, hold.finished = EXPIRED, self.clock

    def lost(self, person: int) -> set[int]:
        """Tasks one of which comes back before all others: those lost last, of which some place is free."""
        lost = {
            n: hold.finished
            for n, hold in self.of(person).items()
            if hold.state in {EXPIRED, RELEASED} and self.tasks[n].open > 0
        }
        return {n for n, finished in lost.items() if finished == max(lost.values())}

    def had_a_copy(self, person: int, number: int) -> bool:
        return any(task.origin == number and person in task.holds for task in self.tasks.values())

    def following(self, person: int) -> int | None:
        """The next ordinary task: the first behind the cursor, else the first of all."""
        free = sorted(
            (task.priority, number)
            for number, task in self.tasks.items()
            if task.kind == "ordinary"
            and task.open > 0
            and (person not in task.holds or task.holds[person].state in {EXPIRED, RELEASED})
            and not self.had_a_copy(person, number)
        )
        behind = [place for place in free if place > self.cursors.get(person, (-40_000, 0))]
        return (behind or free)[0][1] if free else None

    def gold(self, person: int) -> set[int]:
        return {
            number
            for number, task in self.tasks.items()
            if task.kind == "gold"
            and not any(
                person in other.holds
                for n, other in self.tasks.items()
                if n == task.origin or other.origin == task.origin
            )
        }

    def repeatable(self, person: int) -> set[int]:
        """Ordinary answers far enough back that have not come again."""
        done = {n: hold.finished for n, hold in self.of(person).items() if hold.state == SUBMITTED}
        back = sorted(done, key=lambda number: -done[number])[MIN_REPEAT_DISTANCE:]
        return {
            number
            for number in back
            if self.tasks[number].kind == "ordinary" and not self.had_a_copy(person, number)
        }

    def take(self, person: int, number: int) -> None:
        self.tasks[number].holds.setdefault(person, Hold()).state = LEASED
        self.tasks[number].holds[person].lapsed = False


class QueueMachine(RuleBasedStateMachine):
    """What people may do, in any order. Each example is rolled back at its end."""

    def __init__(self) -> None:
        super().__init__()
        self.example = transaction.atomic()
        self.example.__enter__()
        self.keys = 0

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.example.__exit__(None, None, None)

    @initialize(percent=st.sampled_from([0, 50]), limit=st.sampled_from([None, None, 9]))
    def open_a_project(self, percent: int, limit: int | None) -> None:
        self.project: Project = make_project(
            samples_per_task=2, gold_percent=percent, repeat_percent=percent, limit_per_person=limit
        )
        self.percent = percent
        self.people: list[User] = [annotator(f"person {number}") for number in range(PEOPLE)]
        self.model = Model(limit)
        for number, task in enumerate(make_tasks(self.project, 9, samples=2)):
            need = 1 + number % 3
            Task.objects.filter(pk=task.pk).update(need=need, open=need)
            self.model.tasks[task.pk] = Place(priority=0, need=need)
            if percent and number > 6:
                gold = create_gold_task(task=task, answer=Answer(ranks=(1, 2)), author=None)
                self.model.tasks[gold.pk] = Place(0, gold.need, kind="gold", origin=task.pk)

    def held(self, person: int) -> Assignment | None:
        number = self.model.held(person)
        if number is None:
            return None
        return Assignment.objects.select_related("project", "task").get(
            task=number, annotator=self.people[person]
        )

    def theirs(self, person: int, number: int) -> Assignment:
        return Assignment.objects.select_related("project", "task", "annotator").get(
            task=number, annotator=self.people[person]
        )

    def key(self) -> str:
        self.keys += 1
        return f"key {self.keys}"

    # -- What people do

    @rule(person=st.integers(0, PEOPLE - 1), then=st.sampled_from(["hold", "submit", "submit", "submit"]))
    def claim(self, person: int, then: str) -> None:
        model = self.model
        held = model.held(person)
        given = queue.claim(annotator=self.people[person], project=self.project)
        if held is not None:
            assert given is not None
            assert given.task_id == held
            model.tasks[held].holds[person].lapsed = False
        else:
            model.expire()
            self.check_claim(person, given)
        if then == "submit":
            self.submit(person)

    def check_claim(self, person: int, given: Assignment | None) -> None:
        """The task is the one that the model gives, or one of the checks it allows in its stead."""
        model = self.model
        if model.at_limit(person):
            assert given is None
            return
        lost, following = model.lost(person), model.following(person)
        if lost:
            assert given is not None
            assert given.task_id in lost
        elif following is None:
            assert given is None
        else:
            assert given is not None
            allowed = {following}
            if self.percent:
                allowed |= model.gold(person)
            if given.task.kind == "repeat" and given.task_id not in model.tasks:
                assert self.percent
                assert given.task.origin_id in model.repeatable(person)
                first = self.theirs(person, given.task.origin_id)
                assert given.shown_order == first.shown_order[::-1]
                model.tasks[given.task_id] = Place(
                    given.task.priority, need=1, kind="repeat", origin=given.task.origin_id
                )
            else:
                assert given.task_id in allowed
            if given.task_id == following:
                model.cursors[person] = (model.tasks[following].priority, following)
        if given is not None:
            model.take(person, given.task_id)

    @rule(person=st.integers(0, PEOPLE - 1))
    def submit(self, person: int) -> None:
        held = self.held(person)
        if held is None:
            return
        key = self.key()
        stored = queue.submit(held, Answer(ranks=(1, 2)), client_key=key)
        assert queue.submit(held, Answer(ranks=(2, 1)), client_key=key) == stored
        with pytest.raises(LeaseLost):
            queue.submit(held, Answer(ranks=(1, 2)), client_key=self.key())
        hold = self.model.tasks[held.task_id].holds[person]
        hold.state, hold.finished, hold.revisions = SUBMITTED, self.model.tick(), 1

    @rule(person=st.integers(0, PEOPLE - 1), how=st.sampled_from([SKIPPED, RELEASED]))
    def give_back(self, person: int, how: str) -> None:
        held = self.held(person)
        if held is None:
            return
        give_back = queue.skip if how == SKIPPED else queue.release
        give_back(held)
        with pytest.raises(LeaseLost):
            give_back(held)
        hold = self.model.tasks[held.task_id].holds[person]
        hold.state, hold.finished = how, self.model.tick()

    @rule(person=st.integers(0, PEOPLE - 1))
    def let_lapse(self, person: int) -> None:
        held = self.held(person)
        if held is None:
            return
        past = timezone.now() - timedelta(seconds=1)
        Assignment.objects.filter(pk=held.pk).update(lease_until=past)
        self.model.tasks[held.task_id].holds[person].lapsed = True

    @rule()
    def expire(self) -> None:
        lapsed = sum(
            hold.state == LEASED and hold.lapsed
            for task in self.model.tasks.values()
            for hold in task.holds.values()
        )
        assert queue.expire() == lapsed
        self.model.tick()
        self.model.expire()

    @rule(person=st.integers(0, PEOPLE - 1), draft=st.booleans())
    def renew(self, person: int, draft: bool) -> None:
        held = self.held(person)
        if held is None:
            return
        assert queue.save_draft(held, {"order": [1]}) if draft else queue.renew(held)
        self.model.tasks[held.task_id].holds[person].lapsed = False

    @rule(person=st.integers(0, PEOPLE - 1), data=st.data())
    def revise(self, person: int, data: st.DataObject) -> None:
        theirs = self.model.of(person)
        if not theirs:
            return
        number = data.draw(st.sampled_from(sorted(theirs)))
        assignment = self.theirs(person, number)
        if number in self.model.last(person) and theirs[number].state == SUBMITTED:
            revision = queue.revise(assignment, Answer(ranks=(2, 1)), client_key=self.key())
            theirs[number].revisions += 1
            assert revision.revision == theirs[number].revisions
        else:
            with pytest.raises(NotEditable):
                queue.revise(assignment, Answer(ranks=(2, 1)), client_key=self.key())

    @rule(person=st.integers(0, PEOPLE - 1), data=st.data())
    def take_again(self, person: int, data: st.DataObject) -> None:
        model = self.model
        theirs = model.of(person)
        left = sorted(number for number, hold in theirs.items() if hold.state not in {LEASED, SUBMITTED})
        if not left:
            return
        number = data.draw(st.sampled_from(left))
        assignment = self.theirs(person, number)
        if model.tasks[number].open == 0 or model.at_limit(person):
            with pytest.raises(LeaseLost):
                queue.reclaim(assignment)
            return
        assert queue.reclaim(assignment).task_id == number
        self.put_down(person)
        model.take(person, number)

    @rule(person=st.integers(0, PEOPLE - 1), data=st.data())
    def adjudicate(self, person: int, data: st.DataObject) -> None:
        model = self.model
        ordinary = sorted(number for number, task in model.tasks.items() if task.kind == "ordinary")
        number = data.draw(st.sampled_from(ordinary))
        task = model.tasks[number]
        given = queue.claim_task(annotator=self.people[person], task=Task.objects.get(pk=number))
        assert given.task_id == number
        if person in task.holds and task.holds[person].state == SUBMITTED:
            assert given.state == SUBMITTED
            return
        if model.held(person) != number:
            self.put_down(person)
            task.need += task.open == 0
        model.take(person, number)

    def put_down(self, person: int) -> None:
        held = self.model.held(person)
        if held is not None:
            hold = self.model.tasks[held].holds[person]
            hold.state, hold.finished = RELEASED, self.model.tick()

    @precondition(lambda self: self.model.clock > 3)
    @rule(data=st.data(), priority=st.integers(-2, 2))
    def set_priority(self, data: st.DataObject, priority: int) -> None:
        ordinary = sorted(number for number, task in self.model.tasks.items() if task.kind == "ordinary")
        number = data.draw(st.sampled_from(ordinary))
        Task.objects.get(pk=number).set_priority(priority)
        self.model.tasks[number].priority = priority
        for person, place in self.model.cursors.items():
            if place[0] > priority:
                self.model.cursors[person] = (priority, 0)

    # -- What holds whatever they do

    @invariant()
    def the_tables_say_what_the_model_says(self) -> None:
        tasks = {task.pk: task for task in Task.objects.filter(project=self.project)}
        assert set(tasks) == set(self.model.tasks)
        for number, place in self.model.tasks.items():
            assert (tasks[number].need, tasks[number].open) == (place.need, place.open)
        states = {
            (task, self.people_by_pk[user]): state
            for task, user, state in Assignment.objects.filter(project=self.project).values_list(
                "task", "annotator", "state"
            )
        }
        assert states == {
            (number, person): hold.state
            for number, place in self.model.tasks.items()
            for person, hold in place.holds.items()
        }
        revisions = Counter(
            Annotation.objects.for_project(self.project).values_list(
                "assignment__task", "assignment__annotator"
            )
        )
        assert sum(revisions.values()) == sum(
            hold.revisions for place in self.model.tasks.values() for hold in place.holds.values()
        )

    @invariant()
    def the_last_answers_are_the_models(self) -> None:
        person = self.model.clock % PEOPLE
        last = queue.editable_assignments(annotator=self.people[person], project=self.project)
        assert [assignment.task_id for assignment in last] == self.model.last(person)

    @property
    def people_by_pk(self) -> dict[Any, int]:
        return {user.pk: person for person, user in enumerate(self.people)}


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("examples", "steps"), [(6, 40), pytest.param(150, 80, marks=pytest.mark.slow)], ids=["short", "long"]
)
def test_the_queue_does_what_a_plain_model_of_it_does(examples: int, steps: int) -> None:
    run_state_machine_as_test(
        QueueMachine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
