"""Admin of projects, prompts, generators and samples."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import Count, Exists, OuterRef, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join

from labeling.admin.base import (
    MultiProjectAdmin,
    ProjectScopedAdmin,
    ReadOnlyAdmin,
    ReadOnlyInline,
    VisibleProjectsFilter,
    count_subquery,
)
from labeling.forms import ProjectForm
from labeling.models import Assignment, Generator, Guidelines, Project, Prompt, Sample, Task
from labeling.people.memberships import can_open_project


class GuidelinesInline(ReadOnlyInline, admin.TabularInline):
    """The versions of the guidelines."""

    model = Guidelines
    fields = ["version", "text", "author", "created"]
    readonly_fields = ["version", "text", "author", "created"]
    verbose_name_plural = "versions of the guidelines"
    classes = ["collapse"]
    extra = 0


@admin.register(Project)
class ProjectAdmin(ProjectScopedAdmin):
    """Projects with their guidelines; prompts, samples and people are added on the setup page."""

    project_path = "pk"
    form = ProjectForm
    list_display = [
        "name",
        "feedback",
        "prompt_count",
        "waiting",
        "answered",
        "everybody",
        "is_active",
        "setup_link",
    ]
    list_filter = ["feedback", "is_active", "everybody", "text_format"]
    search_fields = ["name", "slug"]
    inlines = [GuidelinesInline]
    readonly_fields = ["slug", "setup_link", "member_list"]
    fieldsets = [
        (None, {"fields": ["name", "slug", "setup_link", "is_active"]}),
        ("Feedback", {"fields": ["feedback", "scale", "criteria", "guidelines_text"]}),
        (
            "Tasks",
            {"fields": ["samples_per_task", "text_format", "annotations_per_task", "lease_minutes"]},
        ),
        ("People", {"fields": ["everybody", "member_list"]}),
        (
            "Quality",
            {
                "fields": [
                    "gold_percent",
                    "repeat_percent",
                    "entry_percent",
                    "adjudicate_percent",
                    "chosen_percent",
                ]
            },
        ),
        ("Goal and limits", {"fields": ["daily_goal", "limit_per_day", "limit_per_person"]}),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Project]:
        """With the counts of the list."""
        projects: QuerySet[Project] = super().get_queryset(request)
        # Subqueries: joined, the three counts would multiply.
        return projects.annotate(
            prompts_here=count_subquery(Prompt.objects.filter(project=OuterRef("pk")), "project"),
            waiting_here=count_subquery(Task.objects.waiting().filter(project=OuterRef("pk")), "project"),
            answered_here=count_subquery(
                Assignment.objects.submitted().filter(project=OuterRef("pk")), "project"
            ),
        )

    @admin.display(description="Prompts", ordering="prompts_here")
    def prompt_count(self, project: Any) -> str:
        """The number of prompts."""
        return str(project.prompts_here) if project.prompts_here else "none yet"

    @admin.display(description="Tasks waiting", ordering="waiting_here")
    def waiting(self, project: Any) -> int:
        """Tasks with open slots."""
        return int(project.waiting_here)

    @admin.display(description="Answers", ordering="answered_here")
    def answered(self, project: Any) -> int:
        """Submitted answers."""
        return int(project.answered_here)

    @admin.display(description="Setup page")
    def setup_link(self, project: Project) -> str:
        """A link to the setup page."""
        if not project.pk:
            return "after saving"
        return format_html('<a href="{}">Set up</a>', reverse("labeling:setup", args=[project.slug]))

    @admin.display(description="Members")
    def member_list(self, project: Project) -> str:
        """Members and their roles, which are set on the setup page."""
        if not project.pk:
            return "chosen on the setup page"
        memberships = project.memberships.select_related("person")
        rows = ((each.person, each.get_role_display().lower()) for each in memberships)
        return format_html_join("", "<div>{}, {}</div>", rows) or "none"

    def has_add_permission(self, request: HttpRequest) -> bool:
        """With the permission on the whole site."""
        return request.user.has_perm(self.permission("add"))

    def get_readonly_fields(self, request: HttpRequest, obj: Project | None = None) -> list[str]:
        """`everybody` is read-only for those who may not open projects."""
        fixed = [*super().get_readonly_fields(request, obj)]
        return fixed if can_open_project(request.user) else [*fixed, "everybody"]  # type: ignore[arg-type]

    def save_model(self, request: HttpRequest, obj: Project, form: Any, change: bool) -> None:
        """Save the project, and changed guidelines as a new version."""
        form.save_with_guidelines(obj, author=request.user)
        if not change:
            self.message_user(
                request, f"“{obj}” has no prompts yet. Import some on its setup page.", messages.WARNING
            )


class HasSamples(admin.SimpleListFilter):
    """Filter prompts by whether they have samples."""

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
class PromptAdmin(ProjectScopedAdmin):
    """Prompts. Text and split cannot change: a prompt that changes its split would spoil the evaluation."""

    list_display = ["__str__", "project", "split", "created"]
    list_filter = [("project", VisibleProjectsFilter), "split", HasSamples]
    list_select_related = ["project"]
    search_fields = ["text"]

    def get_readonly_fields(self, _request: HttpRequest, obj: Prompt | None = None) -> list[str]:
        """All fields, once saved."""
        return ["project", "text", "messages", "split", "hash", "created"] if obj else []


@admin.register(Generator)
class GeneratorAdmin(MultiProjectAdmin):
    """Generators with samples in projects that the user may view."""

    project_path = "samples__prompt__project"

    list_display = ["name", "description", "sample_count", "created"]
    search_fields = ["name", "description"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Generator]:
        """With the number of samples."""
        seen = super().get_queryset(request).values("pk")
        generators = Generator.objects.filter(pk__in=seen)  # each once
        return generators.annotate(samples_here=Count("samples"))

    @admin.display(description="Samples", ordering="samples_here")
    def sample_count(self, generator: Any) -> int:
        """The number of samples."""
        return int(generator.samples_here)


@admin.register(Sample)
class SampleAdmin(ReadOnlyAdmin, ProjectScopedAdmin):
    """Samples."""

    project_path = "prompt__project"
    list_display = ["__str__", "prompt", "generator", "created"]
    list_filter = [("prompt__project", VisibleProjectsFilter)]
    list_select_related = ["prompt", "generator"]
    search_fields = ["text", "prompt__text", "generator__name"]
