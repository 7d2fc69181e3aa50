"""The table of permissions: who asks, and which role each address of the site asks for, and where."""

from collections.abc import Iterator
from typing import NamedTuple

from labeling.models import (
    Adjudication,
    Annotation,
    Assignment,
    Generator,
    Gold,
    Invitation,
    PreferenceSnapshot,
    Project,
    Prompt,
    Sample,
    Task,
)
from training.models import Endpoint, ModelVersion, Run

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
    *rows(SOMEWHERE, NOTHING, "get", "", "labeling:projects", "training:notifications"),
    # What annotators do
    *rows(
        SOMEWHERE,
        ANNOTATOR,
        "get",
        "",
        "labeling:my_work",
        "labeling:settings",
        "api-projects",
        "api-last-answers",
    ),
    *rows(
        IN_PROJECT,
        ANNOTATOR,
        "get",
        "slug",
        "labeling:work",
        "labeling:guidelines",
        "labeling:recent_answers",
    ),
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
        "labeling:export",
        "labeling:export_file",
        "api-export",
        "api-comparisons",
        "api-ratings",
        "api-demonstrations",
        "training:answers",
        "training:project_dashboard",
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
        "training:run_samples",
        "training:points",
        "run-detail",
    ),
    *rows(IN_PROJECT, REVIEWER, "get", "version", "training:version", "training:agreement", "model-detail"),
    *rows(IN_PROJECT, REVIEWER, "get", "gate", "training:gate", "training:gate_evidence"),
    *rows(IN_PROJECT, REVIEWER, "get", "snapshot", "training:snapshot"),
    *rows(IN_PROJECT, REVIEWER, "get", "annotation", "training:answer"),
    # What admins do
    *rows(SITE, ADMIN, "get", "", "labeling:new_project"),
    *rows(SITE, ADMIN, "post", "", "labeling:preview"),
    *rows(IN_PROJECT, ADMIN, "get", "slug", "labeling:setup", "training:samples", "training:playground"),
    *rows(
        IN_PROJECT,
        ADMIN,
        "post",
        "slug",
        "labeling:setup",
        "labeling:preview",
        "labeling:upload",
        "api-imports",
        "labeling:members",
        "training:samples",
        "training:playground",
        "training:live_settings",
        "training:rounds",
        "training:begin_round",
        "training:stop_round",
        "training:roll_back",
    ),
    *rows(IN_PROJECT, ADMIN, "get", "import", "labeling:data_import", "api-import"),
    *rows(
        IN_PROJECT,
        ADMIN,
        "post",
        "import",
        "labeling:data_import",
        "labeling:cancel_import",
        "api-cancel-import",
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
QUERIES = {
    "training:estimate": "?kind=sample",
    "labeling:export_file": "?format=answers&container=jsonl",
    "api-export": "?format=answers",
}
ELSEWHERE = {
    "admin:login": "leads to the sign-in page",
    "admin:logout": "leads to the sign-in page",
    "admin:autocomplete": "no table of the admin searches so",
    "labeling:accept_invitation": "tests/labeling/test_invitations.py",
    "training:seen": "tests/training/test_watching.py",
    "training:delete_answers": "tests/labeling/test_deletion.py",
    **dict.fromkeys(
        (f"training:{name}" for name in ("live", "new_live", "live_turn", "vote", "retry_answer")),
        "tests/training/test_live_comparisons.py",
    ),
    **dict.fromkeys(
        ("training:playground_turn", "training:playground_retry"), "tests/training/test_playground.py"
    ),
}
TABLES: dict[type, tuple[str, str]] = {
    # Of each table of the admin: who adds rows, and who deletes them.
    Project: (SITE, "superuser"),
    Prompt: (SOMEWHERE, "superuser"),
    Generator: (SITE, "superuser"),
    Task: ("nobody", "superuser"),
    Endpoint: (SITE, "superuser"),
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
        where = SITE if model is Endpoint else IN_PROJECT
        yield from rows(where, ADMIN, "get", key, f"{base}_change", f"{base}_history")
        yield Row(f"{base}_delete", SUPERUSER if deletes == "superuser" else SUPERUSER + 1, where, key)
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
