"""Every address and every action of the admin: by role, and by membership of an open and of a closed project.

A row of `TABLE` says which role an address asks for, and where. An address that is in no row fails the test.
"""

import logging
from collections.abc import Iterator
from typing import Any, NamedTuple

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

from labeling import checks, queue
from labeling.feedback import Answer
from labeling.models import (
    Adjudication,
    Annotation,
    Assignment,
    Generator,
    Gold,
    Invitation,
    Membership,
    PreferenceSnapshot,
    Project,
    Prompt,
    Sample,
    Task,
)
from labeling.people import invitations
from labeling.preferences import freeze
from tests.labeling.objects import claimed, make_project, make_tasks
from tests.training.lineages import made
from training.models import Gate, ModelVersion, Run

pytestmark = pytest.mark.django_db

# -- Who asks ---------------------------------------------------------------------------------------------

LEVELS = ["nothing", "annotators", "reviewers", "admins", "superuser"]
NOTHING, ANNOTATOR, REVIEWER, ADMIN, SUPERUSER = range(5)


class Actor(NamedTuple):
    """Somebody, with a role on the whole site and a role in the closed project."""

    name: str
    site: int = NOTHING
    closed: int | None = None
    """None: no member of it."""

    def level(self, project: str) -> int | None:
        """Their role in a project; None: they have no part in it, and do not learn that it is there."""
        if self.site == SUPERUSER:
            return SUPERUSER
        if project == "open":
            return self.site
        return None if self.closed is None else max(self.site, self.closed)

    @property
    def highest(self) -> int:
        """Their role somewhere."""
        return max(self.site, self.closed or NOTHING)


NOBODY = Actor("nobody")
"""Nobody is signed in."""
ACTORS = [
    NOBODY,
    Actor("a stranger"),
    Actor("an annotator", ANNOTATOR),
    Actor("a reviewer", REVIEWER),
    Actor("an admin", ADMIN),
    Actor("a superuser", SUPERUSER),
    Actor("an annotator of it", closed=ANNOTATOR),
    Actor("a reviewer of it", closed=REVIEWER),
    Actor("an admin of it", closed=ADMIN),
    Actor("an admin who annotates it", ADMIN, closed=ANNOTATOR),
]
ALIKE = {"an annotator of it", "a reviewer of it", "an admin who annotates it", "a superuser"}
"""In the open project they are what others are there: strangers from the closed one, or admins."""
OWNERS = {"open": "an annotator", "closed": "an annotator of it"}
"""Who has answered, and holds, the tasks of a project."""

# -- What is asked ----------------------------------------------------------------------------------------

IN_PROJECT, SOMEWHERE, SITE, OWN, KNOWN, GUESTS = (
    "in the project",
    "somewhere",
    "site",
    "own",
    "known",
    "guests",
)
"""Where the role is wanted: in the project of the row; in one project at least; on the whole site. What is
one's own is nobody else's. Known are the people of the projects in which one is an admin."""


class Row(NamedTuple):
    """An address, and who is let in."""

    name: str
    level: int
    where: str = SOMEWHERE
    args: str = ""
    """Which object of the project it is about."""
    method: str = "get"


def rows(where: str, level: int, method: str, args: str, *names: str) -> list[Row]:
    """Addresses that ask for the same."""
    return [Row(name, level, where, args, method) for name in names]


TABLE = [
    # The site
    *rows(GUESTS, NOTHING, "get", "", "login", "schema"),
    *rows(GUESTS, NOTHING, "post", "", "logout", "api-token"),
    *rows(SOMEWHERE, NOTHING, "get", "", "labeling:projects", "training:notices"),
    # What annotators do
    *rows(
        SOMEWHERE,
        ANNOTATOR,
        "get",
        "",
        "labeling:mine",
        "labeling:settings",
        "api-projects",
        "api-last-answers",
    ),
    *rows(IN_PROJECT, ANNOTATOR, "get", "slug", "labeling:work", "labeling:guidelines", "labeling:last"),
    *rows(IN_PROJECT, ANNOTATOR, "post", "slug", "labeling:claim", "api-claim"),
    *rows(OWN, ANNOTATOR, "get", "held", "labeling:assignment"),
    *rows(OWN, ANNOTATOR, "get", "answered", "labeling:edit"),
    *rows(
        OWN, ANNOTATOR, "post", "held", *(f"labeling:{each}" for each in ("submit", "skip", "draft", "renew"))
    ),
    *rows(
        OWN,
        ANNOTATOR,
        "post",
        "answered",
        "labeling:revise",
        "labeling:take_again",
        "api-revise",
        "api-take-again",
    ),
    *rows(
        OWN,
        ANNOTATOR,
        "post",
        "held",
        *(f"api-{each}" for each in ("submit", "draft", "renew", "skip", "release")),
    ),
    # What reviewers do
    *rows(
        IN_PROJECT,
        REVIEWER,
        "get",
        "slug",
        "labeling:quality",
        "labeling:quality_strengths",
        "labeling:quality_csv",
        "labeling:adjudication",
        "labeling:gold",
        "api-comparisons",
        "api-ratings",
        "api-demonstrations",
        "training:answers",
        "training:loop",
        "training:rounds",
        "training:leaderboard",
    ),
    *rows(IN_PROJECT, REVIEWER, "get", "person in", "labeling:quality_annotator"),
    *rows(IN_PROJECT, REVIEWER, "get", "task", "labeling:adjudicate"),
    *rows(IN_PROJECT, REVIEWER, "post", "task", "labeling:vote", "labeling:settle", "labeling:use_as_gold"),
    *rows(
        SOMEWHERE,
        REVIEWER,
        "get",
        "",
        "training:dashboard",
        "training:runs",
        "training:versions",
        "training:lineage",
        "run-list",
        "model-list",
    ),
    *rows(
        IN_PROJECT,
        REVIEWER,
        "get",
        "run",
        "training:run",
        "training:progress",
        "training:log",
        "training:excerpts",
        "training:points",
        "run-detail",
    ),
    *rows(IN_PROJECT, REVIEWER, "get", "version", "training:version", "training:agreement", "model-detail"),
    *rows(IN_PROJECT, REVIEWER, "get", "gate", "training:gate", "training:gate_figures"),
    *rows(IN_PROJECT, REVIEWER, "get", "snapshot", "training:snapshot"),
    *rows(IN_PROJECT, REVIEWER, "get", "annotation", "training:answer"),
    # What admins do
    *rows(SITE, ADMIN, "get", "", "labeling:new_project"),
    *rows(SITE, ADMIN, "post", "", "labeling:preview"),
    *rows(IN_PROJECT, ADMIN, "get", "slug", "labeling:setup", "training:samples"),
    *rows(
        IN_PROJECT,
        ADMIN,
        "post",
        "slug",
        "labeling:setup",
        "labeling:preview",
        "labeling:import_tasks",
        "labeling:members",
        "training:samples",
        "training:rounds",
        "training:begin_round",
        "training:stop_round",
        "training:roll_back",
    ),
    *rows(SOMEWHERE, ADMIN, "get", "", "labeling:people", "training:estimate"),
    *rows(SOMEWHERE, ADMIN, "post", "", "labeling:invite", "run-list"),
    *rows(KNOWN, ADMIN, "get", "person", "labeling:person"),
    *rows(KNOWN, ADMIN, "post", "person", "labeling:person_projects"),
    *rows(SITE, ADMIN, "post", "person", "labeling:deactivate", "labeling:reactivate"),
    *rows(IN_PROJECT, ADMIN, "post", "invitation", "labeling:withdraw"),
    *rows(
        IN_PROJECT,
        ADMIN,
        "post",
        "run",
        *(f"training:{each}" for each in ("cancel", "pause", "resume")),
        *(f"run-{each}" for each in ("cancel", "pause", "resume")),
    ),
    *rows(
        IN_PROJECT,
        ADMIN,
        "post",
        "version",
        *(f"training:{each}" for each in ("promote", "archive", "restore", "open_gate")),
    ),
    *rows(IN_PROJECT, ADMIN, "post", "gate", "training:ask_more", "training:withdraw_gate"),
    # The Django admin
    *rows(
        SOMEWHERE,
        ADMIN,
        "get",
        "",
        "admin:index",
        "admin:jsi18n",
        "admin:password_change",
        "admin:password_change_done",
    ),
    *rows(SOMEWHERE, ADMIN, "get", "app", "admin:app_list"),
    *rows(IN_PROJECT, ADMIN, "get", "page", "admin:view_on_site"),
]
QUERIES = {"training:estimate": "?kind=sample"}
ELSEWHERE = {
    "admin:login": "leads to the sign-in page",
    "admin:logout": "leads to the sign-in page",
    "admin:autocomplete": "no table of the admin searches so",
    "labeling:accept_invitation": "tests/labeling/test_invitations.py",
    "training:seen": "tests/training/test_watching.py",
    "training:erase": "tests/labeling/test_erasing.py",
}
TABLES: dict[type, tuple[str, str]] = {
    # Of each table of the admin: who adds rows, and who deletes them.
    Project: (SITE, "superuser"),
    Prompt: (SOMEWHERE, "superuser"),
    Generator: (SITE, "superuser"),
    Task: ("nobody", "superuser"),
    Run: (SOMEWHERE, "nobody"),
    **dict.fromkeys(
        (Sample, Assignment, Annotation, PreferenceSnapshot, Gold, Adjudication, Invitation, ModelVersion),
        ("nobody", "nobody"),
    ),
}
ACTIONS = {"cancel", "resume", "delete_selected"}


def of_the_admin() -> Iterator[Row]:
    """The addresses of the tables."""
    for model, (adds, deletes) in TABLES.items():
        base = f"admin:{model._meta.app_label}_{model._meta.model_name}"  # type: ignore[attr-defined]
        key = model.__name__
        yield Row(f"{base}_changelist", ADMIN)
        yield Row(f"{base}_add", *((ADMIN, adds) if adds != "nobody" else (SUPERUSER + 1, SITE)))
        yield from rows(IN_PROJECT, ADMIN, "get", key, f"{base}_change", f"{base}_history")
        yield Row(f"{base}_delete", SUPERUSER if deletes == "superuser" else SUPERUSER + 1, IN_PROJECT, key)
    for table in ("auth_group", "authtoken_tokenproxy", "procrastinate_procrastinatejob"):
        yield Row(f"admin:{table}_changelist", SUPERUSER, SITE)
        if table != "procrastinate_procrastinatejob":
            yield Row(f"admin:{table}_add", SUPERUSER, SITE)
    yield Row("admin:auth_group_change", SUPERUSER, SITE, "group")
    yield Row("admin:auth_user_changelist", ADMIN, SITE)
    yield Row("admin:auth_user_add", SUPERUSER, SITE)
    yield from rows(SITE, ADMIN, "get", "person", "admin:auth_user_change", "admin:auth_user_history")
    yield from rows(
        SITE, SUPERUSER, "get", "person", "admin:auth_user_delete", "admin:auth_user_password_change"
    )


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
    snapshot = freeze(project)
    slug = project.slug
    version = made(f"{slug}-1", kind=Run.Kind.FINETUNE, project=project, snapshot=snapshot)
    ModelVersion.objects.filter(pk=version.pk).update(stage=ModelVersion.Stage.PRODUCTION)
    candidate = made(f"{slug}-2", kind=Run.Kind.FINETUNE, project=project, policy=version)
    gate = Gate.objects.create(project=project, candidate=candidate, against=version, most=100)
    run = Run.objects.create(kind=Run.Kind.SAMPLE, project=project, policy=version)
    gold = checks.make_gold(task=task, answer=Answer(ranks=(1, 2, 3)), author=None)
    last_word = Adjudication.objects.create(task=answered.task, assignment=answered)
    invitation, _ = invitations.invite(name="Ben", projects=[project], by=boss)
    prompt = Prompt.objects.filter(project=project).earliest("pk")
    sample = Sample.objects.filter(prompt=prompt).earliest("pk")
    writer = Generator.objects.create(name=f"{slug} writer")
    Sample.objects.create(prompt=prompt, generator=writer, text=" a line")
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


def test_every_address_lets_in_whom_it_should_and_nobody_else(
    site: tuple[dict[Actor, Client], dict[str, dict[str, list[Any]]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    clients, objects = site
    # Who is let in is decided before a page is written: not to write some thousand pages saves a minute.
    monkeypatch.setattr(Template, "render", lambda *_args, **_kwargs: "")
    # Each refusal would be logged with its traceback.
    monkeypatch.setattr(logging.getLogger("django.request"), "disabled", True)
    mistakes = []
    for row in [*TABLE, *of_the_admin()]:
        about_a_project = row.where in {IN_PROJECT, OWN, KNOWN}
        for project in ("open", "closed") if about_a_project else ("open",):
            for actor, client in clients.items():
                if project == "open" and about_a_project and actor.name in ALIKE:
                    continue
                found = ask(client, row, objects[project])
                right = expected(row, actor, project)
                got = outcome(found)
                if actor is NOBODY and got == "forbidden" and row.name.startswith("admin:"):
                    got = "signs in"
                # Who has no part in a project does not learn that it is there.
                by_name = row.args in {"slug", "task", "person in"} and actor.level(project) is None
                tells = by_name and actor.highest > NOTHING and got != "hidden"
                if got not in right or tells:
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
