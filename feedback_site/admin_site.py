"""The Django admin, open to the admins of single projects too: each sees the rows of their own projects."""

from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.contenttypes.models import ContentType
from django.contrib.contenttypes.views import shortcut
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import path

from labeling.access import has_perm_in_any_project


class ProjectAdminSite(AdminSite):
    """Lets project admins in; each ModelAdmin limits its rows to what the user may see."""

    def has_permission(self, request: HttpRequest) -> bool:
        """Staff, and admins of at least one project."""
        user = request.user
        return user.is_active and (user.is_staff or has_perm_in_any_project(user, "labeling.change_project"))

    def get_urls(self) -> list[Any]:
        """Django's own, except "view on site", which would reveal the address of any object."""
        route = "r/<int:content_type_id>/<path:object_id>/"
        return [path(route, self.admin_view(self.view_on_site), name="view_on_site"), *super().get_urls()]

    def view_on_site(self, request: HttpRequest, content_type_id: int, object_id: str) -> HttpResponse:
        """Redirect to an object's page; 404 unless the user may view the object in the admin."""
        model = get_object_or_404(ContentType, pk=content_type_id).model_class()
        model_admin = self._registry.get(model) if model else None
        row = model_admin.get_object(request, object_id) if model_admin else None
        if model_admin is None or row is None or not model_admin.has_view_permission(request, row):
            raise Http404
        return shortcut(request, content_type_id, object_id)
