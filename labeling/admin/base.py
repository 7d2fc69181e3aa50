"""Base classes of the admin: permissions by project, and read-only tables."""

from typing import Any

from django.contrib import admin
from django.contrib.auth import get_permission_codename
from django.contrib.auth.models import User
from django.db.models import Count, ForeignKey, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.forms import ModelChoiceField
from django.http import HttpRequest

from labeling.access import has_perm_in_any_project
from labeling.models import Project


def count_subquery(rows: QuerySet[Any], group: str) -> Coalesce:
    """A subquery that counts the rows of one group."""
    count_subquery = rows.order_by().values(group).annotate(rows=Count("pk")).values("rows")
    return Coalesce(Subquery(count_subquery), 0)


class ProjectScopedAdmin(admin.ModelAdmin):
    """A table whose rows belong to projects, with permissions checked in each row's project."""

    project_path = "project"
    """The lookup from a row to its project; "pk" for projects themselves."""

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """The rows that the user may view."""
        rows = super().get_queryset(request)
        if request.user.is_superuser:
            return rows
        return rows.filter(self.visible_rows(request.user))  # type: ignore[arg-type]  # signed in, or no admin

    def visible_rows(self, user: User) -> Q:
        """A filter for the rows that a user may view."""
        allowed = Project.objects.allowed(user, self.permission("view"))
        return Q(**{f"{self.project_path}__in": allowed.values("pk")})

    def project_of(self, row: Any) -> Project | None:
        """The project of a row."""
        found = row
        for name in self.project_path.split("__") if self.project_path != "pk" else ():
            found = getattr(found, name)
        project: Project | None = found
        return project if project and project.pk else None

    def permission(self, action: str) -> str:
        """The permission to view, add, change or delete rows of this table."""
        return f"{self.opts.app_label}.{get_permission_codename(action, self.opts)}"

    def _has_perm(self, request: HttpRequest, action: str, row: Any = None) -> bool:
        if row is None:
            return has_perm_in_any_project(request.user, self.permission(action))
        return request.user.has_perm(self.permission(action), self.project_of(row))

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Whether the table is listed."""
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """With the permission in the row's project; for the table, in at least one project."""
        return self._has_perm(request, "view", obj)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """With the permission in at least one project: the form offers only those."""
        return self._has_perm(request, "add")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """With the permission in the row's project."""
        return self._has_perm(request, "change", obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """With the permission in the row's project."""
        return self._has_perm(request, "delete", obj)

    def formfield_for_foreignkey(
        self, db_field: ForeignKey, request: HttpRequest, **kwargs: Any
    ) -> ModelChoiceField | None:
        """Offer only projects to which the user may add rows."""
        if db_field.remote_field.model is Project:
            kwargs["queryset"] = Project.objects.allowed(request.user, self.permission("add"))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)


class MultiProjectAdmin(ProjectScopedAdmin):
    """A table whose rows belong to several projects or to none; `visible_rows` can be viewed.

    Adding and changing rows needs the permission on the whole site.
    """

    def project_of(self, row: Any) -> None:  # noqa: ARG002
        """No single one."""
        return

    def has_add_permission(self, request: HttpRequest) -> bool:
        """On the whole site."""
        return request.user.has_perm(self.permission("add"))

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """If the row is in the user's list."""
        if obj is None:
            return super().has_view_permission(request)
        return self.get_queryset(request).filter(pk=obj.pk).exists()


class VisibleProjectsFilter(admin.RelatedFieldListFilter):
    """A filter by project that lists only projects the user may view."""

    def field_choices(
        self, field: Any, request: HttpRequest, model_admin: admin.ModelAdmin
    ) -> list[tuple[str, Any]]:
        """Projects whose rows the user may view."""
        assert isinstance(model_admin, ProjectScopedAdmin)
        allowed = Project.objects.allowed(request.user, model_admin.permission("view"))
        return list(field.get_choices(include_blank=False, limit_choices_to={"pk__in": allowed.values("pk")}))


class ReadOnlyAdmin:
    """For tables that are written only by the site itself."""

    def has_add_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        """Nobody adds by hand."""
        return False

    def has_change_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        """Nobody changes rows."""
        return False

    def has_delete_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        """Nobody deletes single rows; a project is deleted as a whole."""
        return False


class ReadOnlyInline(ReadOnlyAdmin):
    """For inlines: whoever may view the parent may view its rows."""

    def has_view_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        """The parent has checked."""
        return True
