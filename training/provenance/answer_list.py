"""Filtered lists of the answers in a project or a snapshot."""

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
"""Filters that are plain lookups."""


class WriterField(forms.ModelChoiceField):
    """A generator by its name. Where an import and this site both have one of a name, it is the site's."""

    def to_python(self, value: Any) -> Any:
        assert self.queryset is not None
        rows = [] if value in self.empty_values else self.queryset.filter(name=value)
        sites_first = sorted(rows, key=lambda row: row.project_id is not None)
        return sites_first[0] if sites_first else super().to_python(value)


class AnswerFilter(forms.Form):
    """Filters for a project's answers; all fields are optional."""

    first = WriterField(
        Generator.objects.none(),
        required=False,
        to_field_name="name",
        label="With a text by",
        empty_label="anybody",
    )
    second = WriterField(
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
        # Evaluated once for both fields: the query reads every sample.
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
        """Require two different generators for a comparison."""
        cleaned = super().clean() or {}
        first, second = cleaned.get("first"), cleaned.get("second")
        if second is not None and first is None and "first" not in self.errors:
            self.add_error("first", "Choose both, or only the first.")
        elif first is not None and first == second:
            self.add_error("second", "Choose a different one from the first.")
        if cleaned.get("outcome") and (first is None or second is None) and not self.errors:
            self.add_error("outcome", "Choose the two that are compared.")
        return cleaned

    @property
    def is_empty(self) -> bool:
        """Whether no filter is set."""
        return not any(self.data.get(name) for name in self.fields if name != "task")

    def apply(self, answers: AnnotationQuerySet) -> AnnotationQuerySet:
        """The answers that match, latest first, annotated with `first_rating` and `second_rating` if the
        generators are chosen. The form must be valid."""
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
            answers = (
                answers.flagged_or_commented()
                if wanted["marks"] == "remarked"
                else answers.filter(all_bad=True)
            )
        plain = {lookup: wanted[name] for name, lookup in LOOKUPS.items() if wanted[name]}
        return answers.filter(**plain).order_by("-pk")


def _best_rating(generator: Generator) -> Subquery:
    """The best rating that an answer gives to this generator's samples; higher is better, NULL: none."""
    rating = Coalesce(-F("rank"), F("score"), F("grade"), output_field=IntegerField())
    own = Judgement.objects.filter(annotation=OuterRef("pk"), sample__generator=generator)
    return Subquery(own.order_by().values("annotation").annotate(best=Max(rating)).values("best"))


@dataclass(frozen=True, kw_only=True)
class AnswerRow:
    """An answer in a list."""

    annotation: Annotation
    summary: str
    """The answer in a few words; empty if it is hidden."""
    preferred: str = ""
    """The preferred one of the two compared generators; empty for a tie or without a comparison."""
    is_tie: bool = False

    @property
    def is_hidden(self) -> bool:
        return not self.summary


def answer_rows(
    answers: Iterable[Annotation], *, reader: User, first: str = "", second: str = ""
) -> list[AnswerRow]:
    """The answers as rows. Answers to tasks that the reader may still be given are hidden, so that they do
    not influence the reader's own answers."""
    found = list(answers)
    hidden = tasks_to_come([each.assignment.task_id for each in found], reader)
    return [
        AnswerRow(annotation=each, summary="")
        if each.assignment.task_id in hidden
        else AnswerRow(
            annotation=each,
            summary=summarize_answer(each.answer),
            preferred=_preferred(each, first, second),
            is_tie=bool(second) and _ratings(each)[0] == _ratings(each)[1],
        )
        for each in found
    ]


def tasks_to_come(tasks: Iterable[int], reader: User) -> set[int]:
    """The ids among `tasks` that are assigned to the reader, or may still be."""
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
