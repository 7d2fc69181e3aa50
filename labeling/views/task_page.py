"""The context of the task page, and the fragments returned after an answer.

Nothing in it reveals who wrote a sample, what others answered, or whether the task is gold.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django_htmx.http import HttpResponseClientRedirect, reswap, retarget, trigger_client_event

from labeling import control_tasks, queue
from labeling.access import UserRequest
from labeling.feedback import AnswerError
from labeling.markdown import render as render_markdown
from labeling.models import Annotation, Assignment, Project, Prompt
from labeling.text_limits import MAX_TEXT_LENGTH
from labeling.views.rendered_text import render_completion, render_prompt
from labeling.workspace.answer_text import summarize_answer
from labeling.workspace.keyboard_shortcuts import ACTIONS, Action, key_labels, keys_for
from labeling.workspace.pace import answers_today, current_goal

SKIP_REASONS = (
    "I do not know the subject",
    "I do not know the language",
    "The prompt makes no sense",
    "The samples are broken",
    "I would rather not read this",
)
WIDE_CHARACTERS, MEDIUM_CHARACTERS = 900, 280
"""With a sample of at least this many characters, the columns of samples are wide, or medium."""

SCRIPT_MODULES = (
    *("task", "shortcuts", "announce", "draft", "requests", "lease", "activity", "text_view", "diff"),
    *("answer_state", "scales", "pair", "rank", "best", "score", "rewrite"),
)
"""Scripts imported by `work.js`. The page preloads them, so that they load in parallel."""


# -- One task ---------------------------------------------------------------------------------------------


def task_context(
    *, project: Project, prompt: Prompt, samples: Sequence[str], user: User, task_key: str, submit_url: str
) -> dict[str, Any]:
    """The context of `labeling/task.html`; `samples` are plain texts in the order shown.

    `task_key` names the task's draft in the browser.
    """
    longest = max(map(len, samples), default=0)
    return {
        "project": project,
        "task_key": task_key,
        "submit_url": submit_url,
        "prompt": render_prompt(prompt, project),
        "samples": [render_completion(text, project) for text in samples],
        "width": "wide"
        if longest >= WIDE_CHARACTERS
        else "medium"
        if longest >= MEDIUM_CHARACTERS
        else "narrow",
        "has_source": project.text_format == Project.TextFormat.MARKDOWN,
        "card_template": f"labeling/kinds/{project.feedback}_card.html",
        "dock_template": f"labeling/kinds/{project.feedback}_dock.html",
        "scale": range(1, project.scale + 1),
        "max_text_length": MAX_TEXT_LENGTH,
        "skip_reasons": SKIP_REASONS,
        "client_key": uuid4().hex,
        "keys": key_labels(keys_for(user)),
    }


def held_task_context(user: User, assignment: Assignment) -> dict[str, Any]:
    """A task the annotator holds, with its draft."""
    return _own_task(user, assignment, submit_url=reverse("labeling:submit", args=[assignment.pk])) | {
        "content_template": "labeling/task.html",
        "is_leased": True,
        "lease_seconds": assignment.project.lease_minutes * 60,
        "draft": _to_json(assignment.draft) if assignment.draft else "",
    }


def stored_answer_context(user: User, assignment: Assignment) -> dict[str, Any]:
    """An answered task with the annotator's answer, for editing."""
    annotation = Annotation.objects.filter(assignment=assignment).latest("revision")
    return _own_task(user, assignment, submit_url=reverse("labeling:revise", args=[assignment.pk])) | {
        "content_template": "labeling/task.html",
        "stored_annotation": annotation,
        "answer": _to_json(annotation.answer.as_json()),
    }


def next_task_context(user: User, project: Project) -> dict[str, Any]:
    """Claim the next task and return its context, or that of the page that says why there is none."""
    assignment = queue.claim(annotator=user, project=project)
    if assignment is not None:
        return held_task_context(user, assignment)
    return {
        "content_template": "labeling/no_task.html",
        "project": project,
        "assignment": None,
        "reason": queue.no_task_reason(annotator=user, project=project),
        "keys": key_labels(keys_for(user)),
    }


def training_feedback_context(user: User, annotation: Annotation) -> dict[str, Any]:
    """The expected answer of a training task and its explanation, shown after an answer."""
    assignment = annotation.assignment
    found = control_tasks.training_feedback(annotation)
    assert found is not None  # the annotation is of a training task
    return _own_task(user, assignment) | {
        "content_template": "labeling/training_feedback.html",
        "training_feedback": found,
        "given_answer": summarize_answer(annotation.answer),
        "expected_answer": summarize_answer(found.expected),
        "explanation_html": render_markdown(found.explanation),
        "entry_test": control_tasks.entry_test_progress(annotator=user, project=assignment.project),
    }


def _own_task(user: User, assignment: Assignment, *, submit_url: str = "") -> dict[str, Any]:
    return task_context(
        project=assignment.project,
        prompt=assignment.task.prompt,
        samples=[sample.text for sample in assignment.shown_samples()],
        user=user,
        task_key=str(assignment.pk),
        submit_url=submit_url,
    ) | {"assignment": assignment}


def _to_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


# -- The page around it -----------------------------------------------------------------------------------


def render_work_page(request: UserRequest, content: Mapping[str, Any], *, status: int = 200) -> HttpResponse:
    """The content as a whole page, or for htmx as a fragment with the parts around it that change.

    `content` has at least `project`, `keys` and `content_template`.
    """
    project: Project = content["project"]
    last = queue.editable_assignments(annotator=request.user, project=project)
    goal = current_goal(request.user, project)
    context = {
        "previous_answer_url": _previous_answer_url(last, content.get("assignment")),
        **content,
        **_guidelines(project, last, whole_page=not request.htmx),
        "next_url": next_url(request),
        "goal": goal,
        "answers_today": goal.done if goal else answers_today(request.user, project),
        "keys_template": f"labeling/kinds/{project.feedback}_keys.html",
    }
    if not request.htmx:
        context |= _shortcuts(request.user, project)
        context["script_modules"] = [f"labeling/{name}.js" for name in SCRIPT_MODULES]
    page_template = content.get("page_template", "labeling/work.html")
    template = "labeling/_work_fragment.html" if request.htmx else page_template
    return render(request, template, context, status=status)


def _shortcuts(user: User, project: Project) -> dict[str, Any]:
    """The keys for the scripts, and the list of shortcuts, to which each kind of feedback adds its own."""
    keys = keys_for(user)
    not_common = {"tie", "nothing", "help"}
    if project.feedback == Project.FeedbackKind.REWRITE:
        not_common.add("changes")
    if project.text_format != Project.TextFormat.MARKDOWN:
        not_common.add("source")
    labels = key_labels(keys)
    common = [
        Action(labels[name], action.label) for name, action in ACTIONS.items() if name not in not_common
    ]
    return {"keys_json": _to_json(keys), "common_actions": common}


def _guidelines(project: Project, last: Sequence[Assignment], *, whole_page: bool) -> dict[str, Any]:
    """The guidelines and the version used for the annotator's last answer (0: no answer yet).

    The text is sent with a whole page, and with a fragment if the version is new to this annotator.
    """
    guidelines = project.guidelines
    if guidelines is None:
        return {"guidelines": None}
    known_version = 0
    answered = next((each for each in last if each.state == Assignment.State.SUBMITTED), None)
    if answered is not None:
        annotation = (
            Annotation.objects.filter(assignment=answered).select_related("guidelines").latest("revision")
        )
        known_version = annotation.guidelines.version if annotation.guidelines else 0
    is_new = known_version < guidelines.version
    return {
        "guidelines": guidelines,
        "known_guidelines_version": known_version,
        "has_new_guidelines": is_new,
        "guidelines_html": render_markdown(guidelines.text) if is_new or whole_page else "",
    }


def _previous_answer_url(last: Sequence[Assignment], current: Assignment | None) -> str:
    """The page to edit the answer given before the current one; empty if there is none."""
    answered = [each for each in last if each.state == Assignment.State.SUBMITTED]
    if current in answered:
        answered = answered[answered.index(current) + 1 :]
    return reverse("labeling:edit", args=[answered[0].pk]) if answered else ""


def continue_response(request: UserRequest, project: Project) -> HttpResponse:
    """The response after a finished task: a redirect to the page that asked for it, or the next task."""
    if address := next_url(request):
        return HttpResponseClientRedirect(address)
    return render_work_page(request, next_task_context(request.user, project))


def with_stored_event(response: HttpResponse) -> HttpResponse:
    """Add the event that makes the page delete its draft."""
    return trigger_client_event(response, "hone:stored")


def next_url(request: HttpRequest) -> str:
    """The page of this site to go to after the answer (`next`); empty if none was given."""
    url = request.POST.get("next") or request.GET.get("next") or ""
    is_safe = url_has_allowed_host_and_scheme(url, {request.get_host()}, require_https=request.is_secure())
    return url if is_safe else ""


# -- Errors and input -------------------------------------------------------------------------------------


def error_response(request: UserRequest, project: Project, *, status: int, error: str = "") -> HttpResponse:
    """Show an error beside the task, which stays on the page with its draft."""
    response = render(
        request, "labeling/_task_error.html", {"project": project, "error": error}, status=status
    )
    return reswap(retarget(response, "#notice"), "innerHTML")


def json_field(request: HttpRequest, name: str) -> Any:
    """The JSON value of a form field; raises AnswerError if it is not valid JSON."""
    try:
        return json.loads(request.POST.get(name, ""))
    except (ValueError, RecursionError):
        raise AnswerError(f"{name}: invalid JSON.") from None
