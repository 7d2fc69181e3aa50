"""Admin of annotations, adjudications and preference snapshots."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html

from labeling.admin.base import ProjectScopedAdmin, ReadOnlyAdmin, ReadOnlyInline, VisibleProjectsFilter
from labeling.models import Adjudication, Annotation, Judgement, PreferenceSnapshot


class JudgementInline(ReadOnlyInline, admin.TabularInline):
    """The judgements of an annotation."""

    model = Judgement
    fields = ["sample", "rank", "score", "grade", "criteria"]
    extra = 0


@admin.register(Annotation)
class AnnotationAdmin(ReadOnlyAdmin, ProjectScopedAdmin):
    """Annotations."""

    project_path = "assignment__project"

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
    list_filter = [("assignment__project", VisibleProjectsFilter), "all_bad", "flagged", "created"]
    list_select_related = ["assignment__project", "assignment__annotator", "assignment__task__prompt"]
    search_fields = ["comment", "assignment__annotator__username"]
    exclude = ["text"]
    readonly_fields = ["text_display"]
    inlines = [JudgementInline]

    @admin.display(description="Text")
    def text_display(self, annotation: Annotation) -> str:
        """The text of a rewrite, with its white space."""
        return format_html('<pre dir="auto">{}</pre>', annotation.text) if annotation.text else "–"

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
        """The annotator."""
        return annotation.assignment.annotator.get_username()


@admin.register(Adjudication)
class AdjudicationAdmin(ReadOnlyAdmin, ProjectScopedAdmin):
    """Final decisions on tasks with low agreement."""

    project_path = "task__project"

    list_display = ["task", "project", "annotator", "note", "created"]
    list_filter = [("task__project", VisibleProjectsFilter), "created"]
    list_select_related = ["task__project", "assignment__annotator"]
    search_fields = ["note", "assignment__annotator__username"]

    @admin.display(ordering="task__project")
    def project(self, adjudication: Adjudication) -> str:
        """The project."""
        return str(adjudication.task.project)

    @admin.display(ordering="assignment__annotator__username")
    def annotator(self, adjudication: Adjudication) -> str:
        """The annotator of the final answer."""
        final = adjudication.assignment
        return final.annotator.get_username() if final else "all count"


@admin.register(PreferenceSnapshot)
class PreferenceSnapshotAdmin(ReadOnlyAdmin, ProjectScopedAdmin):
    """Preference snapshots, with their first rows."""

    list_display = [
        "__str__",
        "project",
        "count",
        "rating_count",
        "demonstration_count",
        "withdrawn",
        "created",
    ]
    list_filter = [("project", VisibleProjectsFilter)]
    list_select_related = ["project"]
    search_fields = ["hash"]
    fields = [
        "project",
        "hash",
        "count",
        "rating_count",
        "demonstration_count",
        "withdrawn",
        "withdrawn_at",
        "created",
        "first_lines",
    ]
    readonly_fields = ["first_lines"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[PreferenceSnapshot]:
        """Without the content, which may be large."""
        return super().get_queryset(request).defer("content")

    @admin.display
    def first_lines(self, snapshot: PreferenceSnapshot) -> str:
        """The first rows."""
        lines = snapshot.json_lines().decode().split("\n")[:5]
        return format_html("<pre>{}</pre>", "\n".join(lines))
