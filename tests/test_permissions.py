"""Every address and every action of the admin: by role, and by membership of an open and of a closed project.

`tests/permission_table.py` has a row for each, which says what role it asks for, and where.
"""

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib import admin as django_admin
from django.contrib.auth.models import Group, User
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.http import HttpResponse
from django.template.backends.django import Template
from django.test import Client, RequestFactory
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from pytest_django import Settings

from labeling import control_tasks, queue
from labeling.feedback import Answer
from labeling.imports.uploads import store_upload
from labeling.models import (
    Adjudication,
    Generator,
    Gold,
    Membership,
    Project,
    Prompt,
    Sample,
)
from labeling.people import invitations
from labeling.preferences import create_snapshot
from tests.labeling.objects import claimed, make_project, make_tasks
from tests.permission_table import (
    ACTIONS,
    ACTORS,
    ADMIN,
    ALIKE,
    ELSEWHERE,
    GUESTS,
    IN_PROJECT,
    KNOWN,
    LEVELS,
    NOBODY,
    NOTHING,
    OWN,
    OWNERS,
    QUERIES,
    SITE,
    SUPERUSER,
    TABLE,
    Actor,
    Row,
    of_the_admin,
)
from tests.training.lineage_factories import make_version
from training.models import Endpoint, Gate, ModelVersion, Run

pytestmark = pytest.mark.django_db

# -- The site ---------------------------------------------------------------------------------------------


def people(projects: dict[str, Project]) -> dict[Actor, Client]:
    """Everybody, signed in."""
    clients = {}
    for actor in ACTORS:
        clients[actor] = Client()
        if actor is NOBODY:
            continue
        person = User.objects.create_user(
            actor.name, is_staff=actor.site >= ADMIN, is_superuser=actor.site == SUPERUSER
        )
        if NOTHING < actor.site < SUPERUSER:
            person.groups.add(Group.objects.get(name=LEVELS[actor.site]))
        if actor.closed is not None:
            Membership.objects.create(person=person, project=projects["closed"], role=LEVELS[actor.closed])
        clients[actor].force_login(person)
    return clients


def contents(project: Project, owner: User, boss: User) -> dict[str, list[Any]]:
    """One of everything in a project, by what the rows call it: the arguments of the addresses."""
    task, _second = make_tasks(project, 2)
    answered = claimed(owner, project)
    annotation = queue.submit(answered, Answer(ranks=(1, 2, 3)), client_key="k")
    held = claimed(owner, project)
    snapshot = create_snapshot(project)
    slug = project.slug
    version = make_version(f"{slug}-1", kind=Run.Kind.FINETUNE, project=project, snapshot=snapshot)
    ModelVersion.objects.filter(pk=version.pk).update(stage=ModelVersion.Stage.PRODUCTION)
    candidate = make_version(f"{slug}-2", kind=Run.Kind.FINETUNE, project=project, policy=version)
    gate = Gate.objects.create(project=project, candidate=candidate, against=version, max_prompts=100)
    run = Run.objects.create(kind=Run.Kind.SAMPLE, project=project, policy=version)
    gold = control_tasks.create_gold_task(task=task, answer=Answer(ranks=(1, 2, 3)), author=None)
    last_word = Adjudication.objects.create(task=answered.task, assignment=answered)
    invitation, _ = invitations.invite(name="Ben", projects=[project], by=boss)
    upload = store_upload(project, author=boss, text="Once")
    prompt = Prompt.objects.filter(project=project).earliest("pk")
    sample = Sample.objects.filter(prompt=prompt).earliest("pk")
    writer = Generator.objects.create(name=f"{slug} writer")
    Sample.objects.create(prompt=prompt, generator=writer, text=" a line")
    endpoint = Endpoint.objects.create(name=f"{slug}-endpoint", url="https://example.com/v1", model="large")
    type_of_projects = ContentType.objects.get_for_model(Project).pk
    return {
        "": [],
        "slug": [slug],
        "held": [held.pk],
        "answered": [answered.pk],
        "person": [owner.pk],
        "person in": [slug, owner.pk],
        "task": [slug, answered.task_id],
        "run": [run.pk],
        "version": [candidate.name],
        "gate": [gate.pk],
        "snapshot": [snapshot.pk],
        "annotation": [annotation.pk],
        "invitation": [invitation.pk],
        "import": [slug, upload.pk],
        "app": ["labeling"],
        "page": [type_of_projects, project.pk],
        "group": [Group.objects.earliest("pk").pk],
        **{
            type(row).__name__: [row.pk]
            for row in (
                project, prompt, sample, task, answered, annotation, snapshot, gold, last_word, invitation,
                run, candidate,
            )
        },
        "Gold": [Gold.objects.get(task__project=project).pk],
        "Generator": [writer.pk],
        "Endpoint": [endpoint.pk],
    }  # fmt: skip


@pytest.fixture
def site(settings: Settings) -> tuple[dict[Actor, Client], dict[str, dict[str, list[Any]]]]:
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"  # two queries less a request
    projects = {"open": make_project("open"), "closed": make_project("closed", everybody=False)}
    clients = people(projects)
    boss = User.objects.get(username="a superuser")
    objects = {
        name: contents(project, User.objects.get(username=OWNERS[name]), boss)
        for name, project in projects.items()
    }
    return clients, objects


# -- What comes of it -------------------------------------------------------------------------------------


def expected(row: Row, actor: Actor, project: str) -> set[str]:
    """Which outcomes are right."""
    if row.where == GUESTS:
        return {"in"}
    if actor is NOBODY:
        return {"signs in"}
    if row.where == OWN:
        return {"in"} if actor.name == OWNERS[project] else {"forbidden", "hidden"}
    if row.where == KNOWN:
        knows = actor.site >= ADMIN or (project == "closed" and actor.highest >= ADMIN)
        return {"in"} if knows else {"forbidden", "hidden"}
    if row.where == IN_PROJECT:
        level = actor.level(project)
        if level is None:
            return {"in"} if row.level == NOTHING else {"hidden", "forbidden"}
        return {"in"} if level >= row.level else {"forbidden", "hidden"}
    level = actor.site if row.where == SITE else actor.highest
    return {"in"} if level >= row.level else {"forbidden", "hidden"}


def outcome(response: HttpResponse) -> str:
    """What came of it, in a word."""
    to = response.headers.get("Location", "") or response.headers.get("HX-Redirect", "")
    if response.status_code == 401 or to.startswith("/accounts/login/?next="):
        return "signs in"
    if response.status_code == 403 or to.startswith("/admin/login/"):
        return "forbidden"
    if response.status_code == 404 or (response.status_code == 302 and to == "/admin/"):
        return "hidden"
    return "in"


def ask(client: Client, row: Row, objects: dict[str, list[Any]]) -> Any:
    """One request, without consequences."""
    url = reverse(row.name, args=objects[row.args]) + QUERIES.get(row.name, "")
    if row.method == "get":
        return client.get(url)
    session = client.cookies.output()
    with transaction.atomic():
        response = client.post(url)
        transaction.set_rollback(True)
    if client.cookies.output() != session:  # signed out, or another session: neither is so any more
        client.cookies.clear()
        client.cookies.load(session.replace("Set-Cookie: ", "").replace("\r\n", "; "))
    return response


@pytest.mark.parametrize("project", ["open", "closed"])
def test_every_address_lets_in_whom_it_should_and_nobody_else(
    site: tuple[dict[Actor, Client], dict[str, dict[str, list[Any]]]],
    monkeypatch: pytest.MonkeyPatch,
    project: str,
) -> None:
    """Addresses that are not about a project are asked for together with those of the open one."""
    clients, objects = site
    # Who is let in is decided before a page is written: not to write some thousand pages saves a minute.
    monkeypatch.setattr(Template, "render", lambda *_args, **_kwargs: "")
    # Each refusal would be logged with its traceback.
    monkeypatch.setattr(logging.getLogger("django.request"), "disabled", True)
    mistakes = []
    for row in [*TABLE, *of_the_admin()]:
        about_a_project = row.where in {IN_PROJECT, OWN, KNOWN}
        if project == "closed" and not about_a_project:
            continue
        for actor, client in clients.items():
            if project == "open" and about_a_project and actor.name in ALIKE:
                continue
            found = ask(client, row, objects[project])
            right = expected(row, actor, project)
            got = outcome(found)
            if actor is NOBODY and got == "forbidden" and row.name.startswith("admin:"):
                got = "signs in"
            # Who has no part in a project does not learn that it is there.
            by_name = row.args in {"slug", "task", "person in", "import"} and actor.level(project) is None
            reveals = by_name and actor.highest > NOTHING and got != "hidden"
            if got not in right or reveals:
                mistakes.append(
                    f"{row.method} {row.name} ({project}), {actor.name}: {found.status_code}, {got}; "
                    f"right is {' or '.join(sorted(right))}"
                )
    assert mistakes == [], "\n" + "\n".join(mistakes)


def names_of(patterns: list[Any], space: str = "") -> Iterator[str]:
    for each in patterns:
        if isinstance(each, URLResolver):
            yield from names_of(each.url_patterns, f"{space}{each.namespace}:" if each.namespace else space)
        elif isinstance(each, URLPattern) and each.name:
            yield f"{space}{each.name}"


def test_every_address_is_in_the_table() -> None:
    known = {row.name for row in [*TABLE, *of_the_admin()]} | set(ELSEWHERE)
    # What superusers alone find, and no page links to.
    foreign = ("admin:auth_group_", "admin:authtoken_", "admin:procrastinate_")
    there = {name for name in names_of(get_resolver().url_patterns) if not name.startswith(foreign)}
    assert there - known == set()
    assert {name for name in known if not name.startswith(foreign)} - there == set()


# -- The actions of the admin -----------------------------------------------------------------------------


def test_every_action_of_the_admin_changes_only_what_one_may_change(
    site: tuple[dict[Actor, Client], dict[str, dict[str, list[Any]]]],
) -> None:
    clients, objects = site
    mistakes = []
    for actor, client in clients.items():
        for project in ("open", "closed"):
            pk = objects[project]["run"][0]
            level = actor.level(project)
            may = level is not None and level >= ADMIN and actor is not NOBODY
            with transaction.atomic():
                address = reverse("admin:training_run_changelist")
                client.post(address, {"action": "cancel", "_selected_action": [pk]})
                if (Run.objects.get(pk=pk).status == Run.Status.CANCELLED) != may:
                    mistakes.append(f"cancel ({project}), {actor.name}")
                Run.objects.filter(pk=pk).update(status=Run.Status.PAUSED)
                client.post(address, {"action": "resume", "_selected_action": [pk]})
                if (Run.objects.get(pk=pk).status == Run.Status.QUEUED) != may:
                    mistakes.append(f"resume ({project}), {actor.name}")
                empty = Prompt.objects.create(project=Project.objects.get(slug=project), text="Nothing yet")
                given = {"action": "delete_selected", "_selected_action": [empty.pk], "post": "yes"}
                client.post(reverse("admin:labeling_prompt_changelist"), given)
                if Prompt.objects.filter(pk=empty.pk).exists() == (actor.site == SUPERUSER):
                    mistakes.append(f"delete ({project}), {actor.name}")
                transaction.set_rollback(True)
    assert mistakes == []


def test_there_are_no_other_actions() -> None:
    request = RequestFactory().get("/admin/")
    request.user = User.objects.create_superuser("root")
    found = {
        name
        for model, table in django_admin.site._registry.items()
        if model._meta.app_label in {"labeling", "training"}
        for name in table.get_actions(request)
    }
    assert found <= ACTIONS
