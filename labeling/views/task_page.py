"""What the page around one task shows, and the fragments that come after an answer.

Nothing in it says who wrote a sample, what others said of it, or whether its answer is known.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from uuid import uuid4

from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.html import escape
from django.utils.http import url_has_allowed_host_and_scheme
from django_htmx.http import HttpResponseClientRedirect, reswap, retarget, trigger_client_event

from labeling import control_tasks, queue
from labeling.access import UserRequest
from labeling.feedback import AnswerError
from labeling.markdown import render as render_markdown
from labeling.markdown import render_sample
from labeling.models import Annotation, Assignment, Project
from labeling.workspace.answer_text import in_words
from labeling.workspace.keyboard_shortcuts import ACTIONS, Action, keys_of, printed
from labeling.workspace.pace import done_today, goal_today

SKIP_REASONS = (
    "I do not know the subject",
    "I do not know the language",
    "The prompt makes no sense",
    "The samples are broken",
    "I would rather not read this",
)
LONG, MIDDLING = 900, 280
"""Characters of the longest sample from which the columns of samples are wider."""


MODULES = (
    *("task", "keys", "say", "draft", "server", "lease", "activity", "reading", "diff"),
    *("steps", "scales", "pair", "rank", "best", "score", "rewrite"),
)
"""Scripts that `work.js` imports: named on the page, they come all at once instead of one after the other."""


class Shown(NamedTuple):
    """A text as it is, and as HTML."""

    text: str
    html: str


def shown(text: str, project: Project) -> Shown:
    """A prompt or a sample as the project shows it."""
    is_markdown = project.text_format == Project.TextFormat.MARKDOWN
    return Shown(text, render_sample(text) if is_markdown else escape(text))


# -- One task ---------------------------------------------------------------------------------------------


def task_page(
    *, project: Project, assignment: Assignment, prompt: str, samples: Sequence[str], user: User
) -> dict[str, Any]:
    """What `labeling/task.html` shows of a task, from plain texts in the order shown."""
    longest = max(map(len, samples), default=0)
    return {
        "project": project,
        "assignment": assignment,
        "prompt": shown(prompt, project),
        # The space that joins a completion to its prompt would only look like an indent.
        "samples": [shown(text.removeprefix(" "), project) for text in samples],
        "width": "wide" if longest >= LONG else "middling" if longest >= MIDDLING else "narrow",
        "has_source": project.text_format == Project.TextFormat.MARKDOWN,
        "card_template": f"labeling/kinds/{project.feedback}_card.html",
        "dock_template": f"labeling/kinds/{project.feedback}_dock.html",
        "scale": range(1, project.scale + 1),
        "skip_reasons": SKIP_REASONS,
        "client_key": uuid4().hex,
        "lease_seconds": project.lease_minutes * 60,
        "keys": printed(keys_of(user)),
    }


def held_task(user: User, assignment: Assignment) -> dict[str, Any]:
    """A task the person holds, with the draft that was kept."""
    return _own_task(user, assignment) | {
        "content_template": "labeling/task.html",
        "draft": _compact(assignment.draft) if assignment.draft else "",
    }


def stored_answer(user: User, assignment: Assignment) -> dict[str, Any]:
    """A task with the answer the person gave to it, to be changed."""
    annotation = Annotation.objects.filter(assignment=assignment).latest("revision")
    return _own_task(user, assignment) | {
        "content_template": "labeling/task.html",
        "stored": annotation,
        "answer": _compact(annotation.answer.as_json()),
    }


def next_task(user: User, project: Project) -> dict[str, Any]:
    """The next task, leased, or why there is none."""
    assignment = queue.claim(annotator=user, project=project)
    if assignment is not None:
        return held_task(user, assignment)
    return {
        "content_template": "labeling/no_task.html",
        "project": project,
        "assignment": None,
        "reason": queue.rest_reason(annotator=user, project=project),
        "keys": printed(keys_of(user)),
    }


def lesson(user: User, annotation: Annotation) -> dict[str, Any]:
    """What a training task's answer should have been, and why."""
    assignment = annotation.assignment
    found = control_tasks.lesson(annotation)
    assert found is not None  # so it is after a training task
    return _own_task(user, assignment) | {
        "content_template": "labeling/training_feedback.html",
        "lesson": found,
        "said": in_words(annotation.answer),
        "expected": in_words(found.expected),
        "explanation_html": render_markdown(found.explanation),
        "standing": control_tasks.entry_standing(annotator=user, project=assignment.project),
    }


def _own_task(user: User, assignment: Assignment) -> dict[str, Any]:
    return task_page(
        project=assignment.project,
        assignment=assignment,
        prompt=assignment.task.prompt.text,
        samples=[sample.text for sample in assignment.shown_samples()],
        user=user,
    )


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


# -- The page around it -----------------------------------------------------------------------------------


def work_page(request: UserRequest, content: Mapping[str, Any], *, status: int = 200) -> HttpResponse:
    """The content in the whole page, or alone for htmx, with what has changed around it."""
    project: Project = content["project"]
    last = queue.last_answers(annotator=request.user, project=project)
    goal = goal_today(request.user, project)
    context = {
        **content,
        **_guidelines(project, last, whole_page=not request.htmx),
        "next": next_address(request),
        "before": _before(last, content["assignment"]),
        "goal": goal,
        "done": goal.done if goal else done_today(request.user, project),
        "keys_template": f"labeling/kinds/{project.feedback}_keys.html",
    }
    if not request.htmx:
        context |= _keys(request.user, project)
        context["modules"] = [f"labeling/{name}.js" for name in MODULES]
    return render(
        request,
        "labeling/_work_fragment.html" if request.htmx else "labeling/work.html",
        context,
        status=status,
    )


def _keys(user: User, project: Project) -> dict[str, Any]:
    """Which key does what: for the scripts, and for the list of keys, to which each kind adds its own."""
    keys = keys_of(user)
    elsewhere = {"tie", "nothing", "help"}
    if project.feedback == Project.FeedbackKind.REWRITE:
        elsewhere.add("changes")
    if project.text_format != Project.TextFormat.MARKDOWN:
        elsewhere.add("source")
    shown_keys = printed(keys)
    common = [
        Action(shown_keys[name], action.label) for name, action in ACTIONS.items() if name not in elsewhere
    ]
    return {"actions": _compact(keys), "common_actions": common}


def _guidelines(project: Project, last: Sequence[Assignment], *, whole_page: bool) -> dict[str, Any]:
    """The guidelines, and the version that the person's last answer was given under (0: no answer yet).

    Their text goes with the whole page, and with a fragment where they are new to this person.
    """
    guidelines = project.guidelines
    if guidelines is None:
        return {"guidelines": None}
    known = 0
    answered = next((each for each in last if each.state == Assignment.State.SUBMITTED), None)
    if answered is not None:
        annotation = (
            Annotation.objects.filter(assignment=answered).select_related("guidelines").latest("revision")
        )
        known = annotation.guidelines.version if annotation.guidelines else 0
    is_new = known < guidelines.version
    return {
        "guidelines": guidelines,
        "guidelines_known": known,
        "guidelines_new": is_new,
        "guidelines_html": render_markdown(guidelines.text) if is_new or whole_page else "",
    }


def _before(last: Sequence[Assignment], shown_now: Assignment | None) -> str:
    """Where the answer before the one shown can be changed: the last one, unless that is shown."""
    answered = [each for each in last if each.state == Assignment.State.SUBMITTED]
    if shown_now in answered:
        answered = answered[answered.index(shown_now) + 1 :]
    return reverse("labeling:edit", args=[answered[0].pk]) if answered else ""


def after(request: UserRequest, project: Project) -> HttpResponse:
    """Where somebody goes on who is done with a task: to the page that sent them, or to the next task."""
    if address := next_address(request):
        return HttpResponseClientRedirect(address)
    return work_page(request, next_task(request.user, project))


def stored(response: HttpResponse) -> HttpResponse:
    """Tell the page that its draft has done its work."""
    return trigger_client_event(response, "hone:stored")


def next_address(request: HttpRequest) -> str:
    """Where to go after the answer, if a page of this site has asked for it."""
    asked = request.POST.get("next") or request.GET.get("next") or ""
    hosts = {request.get_host()}
    is_ours = url_has_allowed_host_and_scheme(asked, hosts, require_https=request.is_secure())
    return asked if is_ours else ""


# -- Beside the task --------------------------------------------------------------------------------------


def notice(request: UserRequest, project: Project, *, status: int, error: str = "") -> HttpResponse:
    """Say what went wrong beside the task, which stays on the page with its draft."""
    response = render(
        request, "labeling/_task_error.html", {"project": project, "error": error}, status=status
    )
    return reswap(retarget(response, "#notice"), "innerHTML")


def sent(request: HttpRequest, name: str) -> Any:
    """What the page has sent as JSON in the field of this name; raises AnswerError."""
    try:
        return json.loads(request.POST.get(name, ""))
    except (ValueError, RecursionError):
        raise AnswerError(f"{name}: not JSON.") from None
