"""Admin of tasks, assignments and known answers."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from labeling.admin.base import ProjectScopedAdmin, ReadOnlyAdmin, ReadOnlyInline, VisibleProjectsFilter
from labeling.models import Assignment, Gold, Task, TaskSample


class TaskSampleInline(ReadOnlyInline, admin.TabularInline):
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
        """The generator of the sample."""
        return str(place.sample.generator)


class AssignmentInline(ReadOnlyInline, admin.TabularInline):
    """The assignments of a task."""

    model = Assignment
    fields = ["annotator", "state", "claimed", "finished", "skip_reason"]
    extra = 0


class GoldInline(ReadOnlyInline, admin.StackedInline):
    """The known answer of a gold or training task."""

    model = Gold
    fields = ["answer", "explanation", "author", "created"]
    readonly_fields = ["created"]
    extra = 0


@admin.register(Gold)
class GoldAdmin(ReadOnlyAdmin, ProjectScopedAdmin):
    """Known answers of gold and training tasks, which are created on the quality pages and by imports."""

    project_path = "task__project"

    list_display = ["task", "project", "kind", "author", "created"]
    list_filter = ["task__kind", ("task__project", VisibleProjectsFilter)]
    list_select_related = ["task__project", "author"]
    search_fields = ["explanation", "task__prompt__text"]

    @admin.display(ordering="task__project")
    def project(self, gold: Gold) -> str:
        """The project."""
        return str(gold.task.project)

    @admin.display(ordering="task__kind")
    def kind(self, gold: Gold) -> str:
        """Gold or training."""
        return gold.task.get_kind_display()


class WaitingFilter(admin.SimpleListFilter):
    """Filter tasks by whether they have open slots."""

    title = "open slots"
    parameter_name = "places"

    def lookups(self, _request: HttpRequest, _model_admin: Any) -> list[tuple[str, str]]:
        """The two choices."""
        return [("open", "Yes"), ("none", "No")]

    def queryset(self, _request: HttpRequest, queryset: QuerySet[Task]) -> QuerySet[Task]:
        """Apply the choice."""
        match self.value():
            case "open":
                return queryset.filter(open__gt=0)
            case "none":
                return queryset.filter(open=0)
        return queryset


@admin.register(Task)
class TaskAdmin(ProjectScopedAdmin):
    """Tasks, created by imports, by `loop` and by `sample`; only their priority can be edited."""

    list_display = ["__str__", "project", "prompt", "kind", "choice", "priority", "need", "open", "created"]
    list_filter = [("project", VisibleProjectsFilter), "kind", "choice", WaitingFilter]
    list_select_related = ["project", "prompt"]
    search_fields = ["prompt__text"]
    fields = [
        "project", "prompt", "kind", "origin", "choice", "usefulness", "priority", "need", "open", "created",
    ]  # fmt: skip
    readonly_fields = [
        "project", "prompt", "kind", "origin", "choice", "usefulness", "need", "open", "created",
    ]  # fmt: skip
    inlines = [TaskSampleInline, GoldInline, AssignmentInline]

    def has_add_permission(self, _request: HttpRequest) -> bool:
        """Tasks need samples, which cannot be added here."""
        return False

    def save_model(self, _request: HttpRequest, obj: Task, form: forms.ModelForm, _change: bool) -> None:
        """Set the priority and move back the cursors that are past it."""
        obj.set_priority(form.cleaned_data["priority"])


@admin.register(Assignment)
class AssignmentAdmin(ReadOnlyAdmin, ProjectScopedAdmin):
    """Assignments."""

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
    list_filter = ["state", ("project", VisibleProjectsFilter)]
    list_select_related = ["task", "project", "annotator"]
    search_fields = ["annotator__username", "skip_reason"]
