"""Projects, their prompts, and what generators wrote."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import Count, Exists, OuterRef, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join

from labeling.admin.base import OfManyProjects, OfProjects, OwnProjects, ReadOnly, Shown, counted
from labeling.forms import ProjectForm
from labeling.models import Assignment, Generator, Guidelines, Project, Prompt, Sample, Task
from labeling.people.memberships import may_open


class GuidelinesInline(Shown, admin.TabularInline):
    """The versions so far."""

    model = Guidelines
    fields = ["version", "text", "author", "created"]
    readonly_fields = ["version", "text", "author", "created"]
    verbose_name_plural = "earlier and present guidelines"
    classes = ["collapse"]
    extra = 0


@admin.register(Project)
class ProjectAdmin(OfProjects):
    """Projects, with their guidelines; prompts, samples and people are brought in on the set-up page."""

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
        "set_up",
    ]
    list_filter = ["feedback", "is_active", "everybody", "text_format"]
    search_fields = ["name", "slug"]
    inlines = [GuidelinesInline]
    readonly_fields = ["slug", "set_up", "shown_members"]
    fieldsets = [
        (None, {"fields": ["name", "slug", "set_up", "is_active"]}),
        ("What is asked", {"fields": ["feedback", "scale", "criteria", "guidelines_text"]}),
        (
            "How it is asked",
            {"fields": ["samples_per_task", "text_format", "annotations_per_task", "lease_minutes"]},
        ),
        ("Who is asked", {"fields": ["everybody", "shown_members"]}),
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

    @admin.display(description="Members")
    def shown_members(self, project: Project) -> str:
        """Who has which part; they are chosen on the set-up page."""
        if not project.pk:
            return "chosen on the set-up page"
        parts = project.memberships.select_related("person")
        rows = ((part.person, part.get_role_display().lower()) for part in parts)
        return format_html_join("", "<div>{}, {}</div>", rows) or "none"

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Who makes projects makes them on the whole site: a new one is nobody's yet."""
        return request.user.has_perm(self.right("add"))

    def get_readonly_fields(self, request: HttpRequest, obj: Project | None = None) -> list[str]:
        """Whether it is open to everybody, too, for those who may not decide that."""
        fixed = [*super().get_readonly_fields(request, obj)]
        return fixed if may_open(request.user) else [*fixed, "everybody"]  # type: ignore[arg-type]

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
class PromptAdmin(OfProjects):
    """Prompts. Text and split stay: a prompt that changes sides would spoil the evaluation."""

    list_display = ["__str__", "project", "split", "created"]
    list_filter = [("project", OwnProjects), "split", HasSamples]
    list_select_related = ["project"]
    search_fields = ["text"]

    def get_readonly_fields(self, _request: HttpRequest, obj: Prompt | None = None) -> list[str]:
        """Everything, once stored."""
        return ["project", "text", "split", "hash", "created"] if obj else []


@admin.register(Generator)
class GeneratorAdmin(OfManyProjects):
    """Who writes samples: shown are those that wrote for projects in which one may see them."""

    project_path = "samples__prompt__project"

    list_display = ["name", "description", "sample_count", "created"]
    search_fields = ["name", "description"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Generator]:
        """With the number of samples."""
        seen = super().get_queryset(request).values("pk")
        generators = Generator.objects.filter(pk__in=seen)  # each once, however much it wrote
        return generators.annotate(samples_here=Count("samples"))

    @admin.display(description="Samples", ordering="samples_here")
    def sample_count(self, generator: Any) -> int:
        """How many samples it wrote."""
        return int(generator.samples_here)


@admin.register(Sample)
class SampleAdmin(ReadOnly, OfProjects):
    """Samples, as they were written."""

    project_path = "prompt__project"
    list_display = ["__str__", "prompt", "generator", "created"]
    list_filter = [("prompt__project", OwnProjects)]
    list_select_related = ["prompt", "generator"]
    search_fields = ["text", "prompt__text", "generator__name"]
