"""Lists of answers: everything people said in a project or a snapshot, or the part that a figure counts."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib.auth.models import User
from django.db.models import Exists, F, IntegerField, Max, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce

from labeling.models import Annotation, Assignment, Generator, Judgement, Project, Prompt, Sample, Task
from labeling.models.annotations import AnnotationQuerySet
from labeling.workspace.answer_text import summarize_answer

OUTCOMES = {
    "first": Q(first_rating__gt=F("second_rating")),
    "second": Q(first_rating__lt=F("second_rating")),
    "tie": Q(first_rating=F("second_rating")),
}
LOOKUPS = {
    "annotator": "assignment__annotator",
    "split": "assignment__task__prompt__split",
    "since": "assignment__finished__date__gte",
    "until": "assignment__finished__date__lte",
    "task": "assignment__task",
}
"""What is compared as it is."""


class AnswerFilter(forms.Form):
    """Which of a project's answers are listed; all fields may be left empty."""

    first = forms.ModelChoiceField(
        Generator.objects.none(),
        required=False,
        to_field_name="name",
        label="With a text by",
        empty_label="anybody",
    )
    second = forms.ModelChoiceField(
        Generator.objects.none(),
        required=False,
        to_field_name="name",
        label="Compared with",
        empty_label="anybody",
    )
    outcome = forms.ChoiceField(
        required=False,
        label="Preferred",
        choices=[("", "either"), ("first", "the first"), ("second", "the second"), ("tie", "neither: a tie")],
    )
    annotator = forms.ModelChoiceField(
        User.objects.none(), required=False, to_field_name="username", label="By", empty_label="everybody"
    )
    split = forms.ChoiceField(
        required=False,
        label="Prompts",
        choices=[("", "all"), (Prompt.Split.TRAIN, "for training"), (Prompt.Split.HELDOUT, "held out")],
    )
    marks = forms.ChoiceField(
        required=False,
        label="Only",
        choices=[("", "all of them"), ("remarked", "flagged or with a comment"), ("all_bad", "all bad")],
    )
    since = forms.DateField(required=False, label="From", widget=forms.DateInput({"type": "date"}))
    until = forms.DateField(required=False, label="To", widget=forms.DateInput({"type": "date"}))
    task = forms.IntegerField(required=False, min_value=1, max_value=2**63 - 1, widget=forms.HiddenInput)

    def __init__(self, data: Any, *, project: Project) -> None:
        super().__init__(data)
        # Asked once for both: it takes a look at every sample.
        wrote = Sample.objects.filter(prompt__project=project).order_by().values_list("generator", flat=True)
        answered = Assignment.objects.submitted().filter(project=project, annotator=OuterRef("pk"))
        writers = Generator.objects.filter(pk__in=list(wrote.distinct())).order_by("name")
        people = User.objects.filter(Exists(answered)).order_by("username")
        for name, rows, what in (
            ("first", writers, "wrote a text"),
            ("second", writers, "wrote a text"),
            ("annotator", people, "answered a task"),
        ):
            field = self.fields[name]
            assert isinstance(field, forms.ModelChoiceField)
            field.queryset = rows
            field.error_messages["invalid_choice"] = f"Nobody of this name {what} here: choose from the list."

    def clean(self) -> dict[str, Any]:
        """Two are compared only where two are named."""
        cleaned = super().clean() or {}
        first, second = cleaned.get("first"), cleaned.get("second")
        if second is not None and first is None and "first" not in self.errors:
            self.add_error("first", "Name both, or the first alone.")
        elif first is not None and first == second:
            self.add_error("second", "Choose somebody else than the first.")
        if cleaned.get("outcome") and (first is None or second is None) and not self.errors:
            self.add_error("outcome", "Name the two whose texts are compared.")
        return cleaned

    @property
    def is_empty(self) -> bool:
        """Whether nothing is asked for."""
        return not any(self.data.get(name) for name in self.fields if name != "task")

    def apply(self, answers: AnnotationQuerySet) -> AnnotationQuerySet:
        """Those of the answers that are asked for, the latest first; each with `first_rating` and
        `second_rating` where two are compared. The form is valid."""
        wanted = self.cleaned_data
        if wanted["first"] is not None:
            answers = answers.annotate(first_rating=_best_rating(wanted["first"])).filter(
                first_rating__isnull=False
            )
        if wanted["second"] is not None:
            answers = answers.annotate(second_rating=_best_rating(wanted["second"])).filter(
                second_rating__isnull=False
            )
        if wanted["outcome"]:
            answers = answers.filter(OUTCOMES[wanted["outcome"]])
        if wanted["marks"]:
            answers = answers.remarked() if wanted["marks"] == "remarked" else answers.filter(all_bad=True)
        plain = {lookup: wanted[name] for name, lookup in LOOKUPS.items() if wanted[name]}
        return answers.filter(**plain).order_by("-pk")


def _best_rating(writer: Generator) -> Subquery:
    """What an answer says of the best of this writer's texts: more is better; NULL: it judges none."""
    worth = Coalesce(-F("rank"), F("score"), F("grade"), output_field=IntegerField())
    own = Judgement.objects.filter(annotation=OuterRef("pk"), sample__generator=writer)
    return Subquery(own.order_by().values("annotation").annotate(best=Max(worth)).values("best"))


@dataclass(frozen=True, kw_only=True)
class AnswerRow:
    """One answer in a list."""

    annotation: Annotation
    summary: str
    """In a few words; empty: not shown."""
    preferred: str = ""
    """Of two that are compared, whose text; empty: not asked, or neither."""
    is_tie: bool = False

    @property
    def is_hidden(self) -> bool:
        return not self.summary


def answer_rows(
    answers: Iterable[Annotation], *, reader: User, first: str = "", second: str = ""
) -> list[AnswerRow]:
    """The answers as rows. What was said of a task that its reader may still be given is left out: it would
    spoil their own answer."""
    found = list(answers)
    coming = tasks_to_come([each.assignment.task_id for each in found], reader)
    return [
        AnswerRow(annotation=each, summary="")
        if each.assignment.task_id in coming
        else AnswerRow(
            annotation=each,
            summary=summarize_answer(each.answer),
            preferred=_preferred(each, first, second),
            is_tie=bool(second) and _ratings(each)[0] == _ratings(each)[1],
        )
        for each in found
    ]


def tasks_to_come(tasks: Iterable[int], reader: User) -> set[int]:
    """Those of the tasks (ids) that this person holds, or could still be given to answer."""
    own = Project.objects.for_annotator(reader)
    waiting = Task.objects.waiting_for(reader).filter(pk__in=tasks, project__in=own)
    return set(waiting.values_list("pk", flat=True))


def _preferred(annotation: Annotation, first: str, second: str) -> str:
    if not second:
        return ""
    ours, theirs = _ratings(annotation)
    return first if ours > theirs else second if theirs > ours else ""


def _ratings(annotation: Annotation) -> tuple[int, int]:
    return annotation.first_rating, annotation.second_rating  # type: ignore[attr-defined]
