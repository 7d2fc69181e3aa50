"""An annotator's answers per day, goals and pace."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from labeling import queue
from labeling.control_tasks import create_gold_task
from labeling.feedback import Answer
from labeling.models import Annotation, Assignment, Project, WorkSettings
from labeling.workspace.activity import DailyAnswersChart, Day, daily_activity, group_by_week, longest_streak
from labeling.workspace.pace import answers_today, current_goal, current_goals, day_start, recent_pace
from tests.labeling.objects import annotator, answered, claimed, leased, make_project, make_tasks

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("midday")]

BERLIN = ZoneInfo("Europe/Berlin")


def is_now(monkeypatch: pytest.MonkeyPatch, *moment: int, zone: ZoneInfo = BERLIN) -> datetime:
    """The clock stands still at a local time."""
    now = datetime(*moment, tzinfo=zone)  # type: ignore[misc,arg-type]
    monkeypatch.setattr(timezone, "now", lambda: now)
    return now


def timed(user: User, project: Project, seconds: float, at: datetime) -> None:
    answered(user, project, Answer(all_bad=True, seconds=seconds), at=at)


# -- Done today --------------------------------------------------------------------------------------------


def test_a_day_begins_at_midnight_where_the_site_is(monkeypatch: pytest.MonkeyPatch) -> None:
    user, project = annotator(), make_project()
    make_tasks(project, 3)
    with timezone.override(BERLIN):
        is_now(monkeypatch, 2026, 7, 8, 10)
        answered(user, project, at=datetime(2026, 7, 7, 23, 59, 59, tzinfo=BERLIN))
        answered(user, project, at=datetime(2026, 7, 8, 0, 0, 0, tzinfo=BERLIN))
        answered(user, project, at=datetime(2026, 7, 8, 9, 59, tzinfo=BERLIN))
        assert answers_today(user) == 2
    with timezone.override(UTC):  # there, all three are of the eighth or late on the seventh
        assert answers_today(user) == 1


def test_each_project_has_its_own_count_and_nobody_elses() -> None:
    user, stories, poems = annotator(), make_project("stories"), make_project("poems")
    make_tasks(stories, 3)
    make_tasks(poems, 3)
    answered(user, stories)
    answered(user, stories)
    answered(user, poems)
    answered(annotator("bob"), poems)
    queue.skip(claimed(user, poems))
    assert (answers_today(user), answers_today(user, stories), answers_today(user, poems)) == (3, 2, 1)


def test_training_tasks_are_no_answers() -> None:
    user, project = annotator(), make_project()
    [task] = make_tasks(project)
    lesson = create_gold_task(task=task, answer=Answer(all_bad=True), author=None, kind="training")
    queue.submit(leased(user, lesson), Answer(all_bad=True, seconds=9.0), client_key="k")
    assert answers_today(user) == 0
    assert recent_pace(user) == (None, None)


def test_the_day_on_which_the_clocks_change_has_its_own_length() -> None:
    with timezone.override(BERLIN):
        short = day_start(date(2026, 3, 30)) - day_start(date(2026, 3, 29))
        long = day_start(date(2026, 10, 26)) - day_start(date(2026, 10, 25))
    assert (short, long) == (timedelta(hours=23), timedelta(hours=25))


def test_a_midnight_that_does_not_exist_is_the_first_moment_after_it() -> None:
    with timezone.override(ZoneInfo("America/Sao_Paulo")):
        start = day_start(date(2018, 11, 4))
    assert start == datetime(2018, 11, 4, 3, tzinfo=UTC)  # 01:00 there


# -- Goals -------------------------------------------------------------------------------------------------


def test_ones_own_goal_is_for_all_projects_together() -> None:
    user, stories, poems = annotator(), make_project("stories", daily_goal=30), make_project("poems")
    make_tasks(stories)
    make_tasks(poems)
    answered(user, stories)
    answered(user, poems)
    WorkSettings.objects.create(annotator=user, daily_goal=2)
    [goal] = current_goals(user)
    assert (goal.done, goal.target, goal.is_reached) == (2, 2, True)
    assert current_goal(user, stories) == goal


def test_a_projects_goal_holds_where_one_has_none() -> None:
    user, stories, poems = annotator(), make_project("stories", daily_goal=30), make_project("poems")
    make_tasks(stories)
    answered(user, stories)
    [goal] = current_goals(user)
    assert current_goal(user, stories) == goal
    assert (goal.done, goal.target, goal.is_reached, goal.project) == (1, 30, False, stories)
    assert current_goal(user, poems) is None


# -- Pace --------------------------------------------------------------------------------------------------


def test_pace_is_the_median_and_the_answers_in_an_hour_of_active_time(
    monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    user, project = annotator(), make_project()
    make_tasks(project, 8)
    with timezone.override(BERLIN):
        now = is_now(monkeypatch, 2026, 7, 8, 10)
        for seconds in (10, 20, 60):
            timed(user, project, seconds, now)
        for seconds in (30, 50):
            timed(user, project, seconds, now - timedelta(days=3))
        timed(user, project, 5000, now - timedelta(days=40))
        timed(annotator("bob"), project, 900, now)
        with django_assert_num_queries(1):
            today, before = recent_pace(user)
    assert today is not None
    assert before is not None
    assert (today.answers, today.median, today.per_hour) == (3, 20, 3600 * 3 / 90)
    assert (before.answers, before.median, before.per_hour) == (2, 40, 90)


def test_a_later_look_at_an_answer_makes_nobody_slower() -> None:
    user, project = annotator(), make_project()
    make_tasks(project)
    annotation = answered(user, project, Answer(all_bad=True, seconds=20.0))
    queue.revise(annotation.assignment, Answer(all_bad=True, seconds=400.0), client_key="again")
    assert Annotation.objects.count() == 2
    today, _ = recent_pace(user)
    assert today is not None
    assert today.median == 20


def test_without_times_there_is_no_pace() -> None:
    user, project = annotator(), make_project()
    make_tasks(project)
    answered(user, project)
    assert recent_pace(user) == (None, None)


@pytest.mark.parametrize(("seconds", "text"), [(7.25, "7.2 s"), (31.4, "31 s"), (75, "1 min 15 s")])
def test_a_typical_time_reads_as_people_say_it(seconds: float, text: str) -> None:
    user, project = annotator(), make_project()
    make_tasks(project)
    answered(user, project, Answer(all_bad=True, seconds=seconds))
    today, _ = recent_pace(user)
    assert today is not None
    assert today.median_text == text


# -- Days --------------------------------------------------------------------------------------------------


def test_the_strip_has_every_day_of_eight_weeks_up_to_today(
    monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    user, project = annotator(), make_project()
    make_tasks(project, 4)
    with timezone.override(BERLIN):
        is_now(monkeypatch, 2026, 4, 1, 10)  # a Wednesday, three days after the clocks changed
        for moment in ((2026, 3, 29, 0, 30), (2026, 3, 29, 23, 30), (2026, 4, 1, 9, 0), (2025, 1, 1, 1, 1)):
            answered(user, project, at=datetime(*moment, tzinfo=BERLIN))
        with django_assert_num_queries(1):
            days = daily_activity(user)
    assert (days[0].date, days[-1].date) == (date(2026, 2, 9), date(2026, 4, 1))
    assert {day.date: day.answers for day in days if day.answers} == {
        date(2026, 3, 29): 2,
        date(2026, 4, 1): 1,
    }
    weeks = group_by_week(days)
    assert [len(week) for week in weeks] == [7] * 7 + [3]
    assert all(week[0].date.weekday() == 0 for week in weeks)


def row(worked: str, start: date = date(2026, 6, 1)) -> int:
    """The longest row of days from a Monday on: "x" is a day worked."""
    days = [start + timedelta(days=number) for number in range(len(worked))]
    return longest_streak([Day(day, 5 * (mark == "x")) for day, mark in zip(days, worked, strict=True)])


def test_neither_a_weekend_nor_a_day_off_ends_a_row() -> None:
    assert row("xxxxx..xxxxx") == 10
    assert row("xx.xx..xxxxx") == 9
    assert row("xxxx...xxxxx") == 9  # Friday off before the weekend


def test_a_longer_pause_begins_a_new_row() -> None:
    assert row("xxx......xx") == 3
    assert row(".......") == 0


def test_worked_weekends_count_too() -> None:
    assert row("xxxxxxx") == 7


def test_the_bars_fit_below_the_top_and_the_goal_does() -> None:
    days = [Day(date(2026, 6, 1) + timedelta(days=number), number) for number in range(28)]
    chart = DailyAnswersChart(days, goal=70)
    assert [value for _, value in chart.y_ticks] == [0, 50, 100]
    assert chart.goal_y is not None
    assert len(chart.bars) == 27  # none for the day without answers
    assert [day for _, day in chart.x_ticks] == [day.date for day in days[::7]]
    assert DailyAnswersChart(days).goal_y is None
    assert DailyAnswersChart([Day(date(2026, 6, 1), 0)]).y_ticks[-1][1] == 2


def test_an_expired_task_is_no_work() -> None:
    user, project = annotator(), make_project()
    make_tasks(project)
    queue.release(claimed(user, project))
    assert Assignment.objects.get().state == "released"
    assert answers_today(user) == 0
    assert not any(day.answers for day in daily_activity(user))
