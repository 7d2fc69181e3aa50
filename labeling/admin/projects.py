"""Projects, their prompts, and what generators wrote."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import Count, Exists, OuterRef, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from labeling.admin.base import ReadOnly, counted
from labeling.forms import ProjectForm
from labeling.models import Assignment, Generator, Guidelines, Membership, Project, Prompt, Sample, Task


class GuidelinesInline(ReadOnly, admin.TabularInline):
    """The versions so far."""

    model = Guidelines
    fields = ["version", "text", "author", "created"]
    readonly_fields = ["version", "text", "author", "created"]
    verbose_name_plural = "earlier and present guidelines"
    classes = ["collapse"]
    extra = 0


class MembershipInline(admin.TabularInline):
    """Who has which part in it."""

    model = Membership
    fields = ["person", "role"]
    verbose_name_plural = "members"
    extra = 0


@admin.register(Project)
class ProjectAdmin(admin.ModelAdmin):
    """Projects, with their guidelines; prompts, samples and people are brought in on the set-up page."""

    form = ProjectForm
    list_display = [
        "name",
        "feedback",
        "prompt_count",
        "waiting",
        "answered",
        "everybody",
        "is_active",
        "set_up",
    ]
    list_filter = ["feedback", "is_active", "everybody", "text_format"]
    search_fields = ["name", "slug"]
    inlines = [MembershipInline, GuidelinesInline]
    readonly_fields = ["slug", "set_up"]
    fieldsets = [
        (None, {"fields": ["name", "slug", "set_up", "is_active"]}),
        ("What is asked", {"fields": ["feedback", "scale", "criteria", "guidelines_text"]}),
        (
            "How it is asked",
            {"fields": ["samples_per_task", "text_format", "annotations_per_task", "lease_minutes"]},
        ),
        ("Who is asked", {"fields": ["everybody"]}),
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
        """With the figures of the list."""
        projects: QuerySet[Project] = super().get_queryset(request)
        # Subqueries: joined, the three counts would multiply.
        return projects.annotate(
            prompts_here=counted(Prompt.objects.filter(project=OuterRef("pk")), "project"),
            waiting_here=counted(Task.objects.waiting().filter(project=OuterRef("pk")), "project"),
            answered_here=counted(Assignment.objects.submitted().filter(project=OuterRef("pk")), "project"),
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

    @admin.display(description="Set-up page")
    def set_up(self, project: Project) -> str:
        """Where prompts, samples and people come in."""
        if not project.pk:
            return "after saving"
        return format_html('<a href="{}">Set up</a>', reverse("labeling:setup", args=[project.slug]))

    def save_model(self, request: HttpRequest, obj: Project, form: Any, change: bool) -> None:
        """Save the project, and its guidelines as a new version if they changed."""
        form.save_with_guidelines(obj, author=request.user)
        if not change:
            self.message_user(
                request, f"“{obj}” has no prompts yet: bring some in on its set-up page.", messages.WARNING
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
