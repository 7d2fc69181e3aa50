"""Django's admin for the labelling side: set projects up, read what people answered.

What is append-only is only shown. Foreign keys of samples and tasks are links and searches, never
drop-downs of everything.
"""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Count, Exists, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.utils.html import format_html

from labeling.forms import ProjectForm
from labeling.models import (
    Annotation,
    Assignment,
    Generator,
    Guidelines,
    Judgement,
    PreferenceSnapshot,
    Project,
    Prompt,
    Sample,
    Task,
    TaskSample,
)


def _count(rows: QuerySet[Any], group: str) -> Coalesce:
    """A subquery that counts the rows of one group."""
    counted = rows.order_by().values(group).annotate(rows=Count("pk")).values("rows")
    return Coalesce(Subquery(counted), 0)


class ReadOnly:
    """For tables that only the site itself writes."""

    def has_add_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        """Nobody adds by hand."""
        return False

    def has_change_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        """Nobody changes what was said."""
        return False

    def has_delete_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        """Nobody deletes a single row; a project is deleted as a whole."""
        return False


class GuidelinesInline(ReadOnly, admin.TabularInline):
    """The versions so far."""

    model = Guidelines
    fields = ["version", "text", "author", "created"]
    readonly_fields = ["version", "text", "author", "created"]
    verbose_name_plural = "earlier and present guidelines"
    classes = ["collapse"]
    extra = 0


@admin.register(Project)
class ProjectAdmin(admin.ModelAdmin):
    """Projects, with their guidelines and prompts on one page."""

    form = ProjectForm
    list_display = ["name", "feedback", "prompt_count", "waiting", "answered", "is_active"]
    list_filter = ["feedback", "is_active"]
    search_fields = ["name", "slug"]
    prepopulated_fields = {"slug": ["name"]}
    inlines = [GuidelinesInline]
    fieldsets = [
        (None, {"fields": ["name", "slug", "is_active"]}),
        ("What is asked", {"fields": ["feedback", "scale", "criteria", "guidelines_text"]}),
        ("How it is asked", {"fields": ["samples_per_task", "annotations_per_task", "lease_minutes"]}),
        ("More prompts", {"fields": ["new_prompts", "new_prompts_split"]}),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Project]:
        """With the figures of the list."""
        projects: QuerySet[Project] = super().get_queryset(request)
        # Subqueries: joined, the three counts would multiply.
        return projects.annotate(
            prompts_here=_count(Prompt.objects.filter(project=OuterRef("pk")), "project"),
            waiting_here=_count(Task.objects.waiting().filter(project=OuterRef("pk")), "project"),
            answered_here=_count(Assignment.objects.submitted().filter(project=OuterRef("pk")), "project"),
        )

    @admin.display(description="Prompts", ordering="prompts_here")
    def prompt_count(self, project: Any) -> str:
        """How many prompts there are; none is worth a word."""
        return str(project.prompts_here) if project.prompts_here else "none yet"

    @admin.display(description="Tasks waiting", ordering="waiting_here")
    def waiting(self, project: Any) -> int:
        """Tasks with places nobody holds."""
        return int(project.waiting_here)

    @admin.display(description="Answers", ordering="answered_here")
    def answered(self, project: Any) -> int:
        """Answers so far."""
        return int(project.answered_here)

    def save_model(self, request: HttpRequest, obj: Project, form: Any, change: bool) -> None:
        """Save the project, its guidelines as a new version, and its new prompts."""
        super().save_model(request, obj, form, change)
        added = form.save_guidelines_and_prompts(author=request.user)
        if added:
            self.message_user(request, f"{added} new prompts were added.", messages.SUCCESS)
        if not obj.prompts.exists():
            self.message_user(
                request,
                f"“{obj}” has no prompts yet, so no model can write samples for it. "
                "Paste some under “More prompts” below.",
                messages.WARNING,
            )


class HasSamples(admin.SimpleListFilter):
    """Prompts for which something has been written, or nothing yet."""

    title = "samples"
    parameter_name = "samples"

    def lookups(self, _request: HttpRequest, _model_admin: Any) -> list[tuple[str, str]]:
        """The two choices."""
        return [("yes", "With samples"), ("no", "Without samples")]

    def queryset(self, _request: HttpRequest, queryset: QuerySet[Prompt]) -> QuerySet[Prompt]:
        """Apply the choice."""
        written = Exists(Sample.objects.filter(prompt=OuterRef("pk")))
        match self.value():
            case "yes":
                return queryset.filter(written)
            case "no":
                return queryset.exclude(written)
        return queryset


@admin.register(Prompt)
class PromptAdmin(admin.ModelAdmin):
    """Prompts. Text and split stay: a prompt that changes sides would spoil the evaluation."""

    list_display = ["__str__", "project", "split", "created"]
    list_filter = ["project", "split", HasSamples]
    list_select_related = ["project"]
    search_fields = ["text"]

    def get_readonly_fields(self, _request: HttpRequest, obj: Prompt | None = None) -> list[str]:
        """Everything, once stored."""
        return ["project", "text", "split", "hash", "created"] if obj else []


@admin.register(Generator)
class GeneratorAdmin(admin.ModelAdmin):
    """Who writes samples."""

    list_display = ["name", "description", "sample_count", "created"]
    search_fields = ["name", "description"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Generator]:
        """With the number of samples."""
        generators: QuerySet[Generator] = super().get_queryset(request)
        return generators.annotate(samples_here=Count("samples"))

    @admin.display(description="Samples", ordering="samples_here")
    def sample_count(self, generator: Any) -> int:
        """How many samples it wrote."""
        return int(generator.samples_here)


@admin.register(Sample)
class SampleAdmin(ReadOnly, admin.ModelAdmin):
    """Samples, as they were written."""

    list_display = ["__str__", "prompt", "generator", "created"]
    list_filter = ["generator", "prompt__project"]
    list_select_related = ["prompt", "generator"]
    search_fields = ["text", "prompt__text"]


class TaskSampleInline(ReadOnly, admin.TabularInline):
    """The samples of a task."""

    model = TaskSample
    fields = ["position", "sample", "generator"]
    readonly_fields = ["generator"]
    extra = 0

    def get_queryset(self, request: HttpRequest) -> QuerySet[TaskSample]:
        """With the generators."""
        return super().get_queryset(request).select_related("sample__generator")

    @admin.display
    def generator(self, place: TaskSample) -> str:
        """Who wrote the sample."""
        return str(place.sample.generator)


class AssignmentInline(ReadOnly, admin.TabularInline):
    """Who has, or had, a task."""

    model = Assignment
    fields = ["annotator", "state", "claimed", "finished", "skip_reason"]
    extra = 0


class WaitingFilter(admin.SimpleListFilter):
    """Tasks that still want answers, or not."""

    title = "places"
    parameter_name = "places"

    def lookups(self, _request: HttpRequest, _model_admin: Any) -> list[tuple[str, str]]:
        """The two choices."""
        return [("open", "Open"), ("none", "All taken")]

    def queryset(self, _request: HttpRequest, queryset: QuerySet[Task]) -> QuerySet[Task]:
        """Apply the choice."""
        match self.value():
            case "open":
                return queryset.filter(open__gt=0)
            case "none":
                return queryset.filter(open=0)
        return queryset


@admin.register(Task)
class TaskAdmin(admin.ModelAdmin):
    """Tasks: opened by the loop and by `sample`; only their priority is set by hand."""

    list_display = ["__str__", "project", "prompt", "priority", "need", "open", "created"]
    list_filter = ["project", WaitingFilter]
    list_select_related = ["project", "prompt"]
    search_fields = ["prompt__text"]
    fields = ["project", "prompt", "priority", "need", "open", "created"]
    readonly_fields = ["project", "prompt", "need", "open", "created"]
    inlines = [TaskSampleInline, AssignmentInline]

    def has_add_permission(self, _request: HttpRequest) -> bool:
        """Tasks need samples, which models write."""
        return False

    def save_model(self, _request: HttpRequest, obj: Task, form: forms.ModelForm, _change: bool) -> None:
        """Set the priority so that annotators who are past it find the task."""
        obj.set_priority(form.cleaned_data["priority"])


@admin.register(Assignment)
class AssignmentAdmin(ReadOnly, admin.ModelAdmin):
    """Who has which task."""

    list_display = [
        "task",
        "project",
        "annotator",
        "state",
        "claimed",
        "lease_until",
        "finished",
        "skip_reason",
    ]
    list_filter = ["state", "project"]
    list_select_related = ["task", "project", "annotator"]
    search_fields = ["annotator__username", "skip_reason"]


class JudgementInline(ReadOnly, admin.TabularInline):
    """The ranks, scores or grades of an answer."""

    model = Judgement
    fields = ["sample", "rank", "score", "grade", "criteria"]
    extra = 0


@admin.register(Annotation)
class AnnotationAdmin(ReadOnly, admin.ModelAdmin):
    """Answers, as they were given."""

    list_display = [
        "id",
        "project",
        "prompt",
        "annotator",
        "revision",
        "all_bad",
        "flagged",
        "comment",
        "created",
    ]
    list_filter = ["assignment__project", "all_bad", "flagged", "created"]
    list_select_related = ["assignment__project", "assignment__annotator", "assignment__task__prompt"]
    search_fields = ["comment", "assignment__annotator__username"]
    inlines = [JudgementInline]

    @admin.display(ordering="assignment__project")
    def project(self, annotation: Annotation) -> str:
        """The project."""
        return str(annotation.assignment.project)

    @admin.display
    def prompt(self, annotation: Annotation) -> str:
        """The prompt."""
        return str(annotation.assignment.task.prompt)

    @admin.display(ordering="assignment__annotator__username")
    def annotator(self, annotation: Annotation) -> str:
        """Who answered."""
        return annotation.assignment.annotator.get_username()


@admin.register(PreferenceSnapshot)
class PreferenceSnapshotAdmin(ReadOnly, admin.ModelAdmin):
    """Frozen comparisons, with the first few to read."""

    list_display = ["__str__", "project", "count", "rating_count", "demonstration_count", "created"]
    list_filter = ["project"]
    list_select_related = ["project"]
    search_fields = ["hash"]
    fields = ["project", "hash", "count", "rating_count", "demonstration_count", "created", "first_lines"]
    readonly_fields = ["first_lines"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[PreferenceSnapshot]:
        """Without the content, which may be large."""
        return super().get_queryset(request).defer("content")

    @admin.display
    def first_lines(self, snapshot: PreferenceSnapshot) -> str:
        """What the rows look like."""
        lines = snapshot.json_lines().decode().split("\n")[:5]
        return format_html("<pre>{}</pre>", "\n".join(lines))
