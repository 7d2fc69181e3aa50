"""What the tables of the admin share: whose rows are shown, and what nobody writes by hand."""

from typing import Any

from django.contrib import admin
from django.contrib.auth import get_permission_codename
from django.contrib.auth.models import User
from django.db.models import Count, ForeignKey, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.forms import ModelChoiceField
from django.http import HttpRequest

from labeling.access import may, may_somewhere
from labeling.models import Project


def counted(rows: QuerySet[Any], group: str) -> Coalesce:
    """A subquery that counts the rows of one group."""
    counted = rows.order_by().values(group).annotate(rows=Count("pk")).values("rows")
    return Coalesce(Subquery(counted), 0)


class OfProjects(admin.ModelAdmin):
    """A table whose rows belong to projects: people see and change those of projects in which they may."""

    project_path = "project"
    """From a row to its project, as lookups are written; "pk" in the table of projects itself."""

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """The rows of projects in which the person may look at this table."""
        rows = super().get_queryset(request)
        if request.user.is_superuser:
            return rows
        return rows.filter(self.seen_by(request.user))  # type: ignore[arg-type]  # signed in, or no admin

    def seen_by(self, user: User) -> Q:
        """Which rows the person may look at."""
        allowed = Project.objects.allowed(user, self.right("view"))
        return Q(**{f"{self.project_path}__in": allowed.values("pk")})

    def project_of(self, row: Any) -> Project | None:
        """The project of a row."""
        found = row
        for name in self.project_path.split("__") if self.project_path != "pk" else ():
            found = getattr(found, name)
        project: Project | None = found
        return project if project and project.pk else None

    def right(self, action: str) -> str:
        """The right to view, add, change or delete rows of this table."""
        return f"{self.opts.app_label}.{get_permission_codename(action, self.opts)}"

    def _may(self, request: HttpRequest, action: str, row: Any = None) -> bool:
        if row is None:
            return may_somewhere(request.user, self.right(action))
        return may(request.user, self.right(action), self.project_of(row))

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Whether the table stands in the list of tables."""
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """With the right in its project; to see the table at all, in one project at least."""
        return self._may(request, "view", obj)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """With the right in one project at least: the form offers no other."""
        return self._may(request, "add")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """With the right in its project."""
        return self._may(request, "change", obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """With the right in its project."""
        return self._may(request, "delete", obj)

    def formfield_for_foreignkey(
        self, db_field: ForeignKey, request: HttpRequest, **kwargs: Any
    ) -> ModelChoiceField | None:
        """Projects are offered where the person may add rows to them."""
        if db_field.remote_field.model is Project:
            kwargs["queryset"] = Project.objects.allowed(request.user, self.right("add"))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)


class OfManyProjects(OfProjects):
    """A table whose rows belong to several projects or to none: what `seen_by` lists can be looked at.

    To add or to change one takes the right on the whole site.
    """

    def project_of(self, row: Any) -> None:  # noqa: ARG002
        """No single one."""
        return

    def has_add_permission(self, request: HttpRequest) -> bool:
        """On the whole site."""
        return request.user.has_perm(self.right("add"))

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whoever finds it in the list."""
        if obj is None:
            return super().has_view_permission(request)
        return self.get_queryset(request).filter(pk=obj.pk).exists()


class OwnProjects(admin.RelatedFieldListFilter):
    """A filter by project that names none of others."""

    def field_choices(
        self, field: Any, request: HttpRequest, model_admin: admin.ModelAdmin
    ) -> list[tuple[str, Any]]:
        """Those whose rows the person sees."""
        assert isinstance(model_admin, OfProjects)
        allowed = Project.objects.allowed(request.user, model_admin.right("view"))
        return list(field.get_choices(include_blank=False, limit_choices_to={"pk__in": allowed.values("pk")}))


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


class Shown(ReadOnly):
    """For the rows that stand on the page of another one: who sees that sees them."""

    def has_view_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        """The page of the row they belong to has asked."""
        return True
