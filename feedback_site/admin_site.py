"""The Django admin of this site: also for people who look after one project alone, with its rows."""

from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.contenttypes.models import ContentType
from django.contrib.contenttypes.views import shortcut
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import path

from labeling.access import may_somewhere


class Site(AdminSite):
    """Its tables ask for themselves whose rows they show."""

    def has_permission(self, request: HttpRequest) -> bool:
        """The staff, and the admins of a project."""
        user = request.user
        return user.is_active and (user.is_staff or may_somewhere(user, "labeling.change_project"))

    def get_urls(self) -> list[Any]:
        """Django's own, but for the way to an object's page, which would tell everybody its address."""
        address = "r/<int:content_type_id>/<path:object_id>/"
        return [path(address, self.admin_view(self.to_page), name="view_on_site"), *super().get_urls()]

    def to_page(self, request: HttpRequest, content_type_id: int, object_id: str) -> HttpResponse:
        """To the page of an object that the person sees in its table; 404 for any other."""
        model = get_object_or_404(ContentType, pk=content_type_id).model_class()
        table = self._registry.get(model) if model else None
        row = table.get_object(request, object_id) if table else None
        if table is None or row is None or not table.has_view_permission(request, row):
            raise Http404
        return shortcut(request, content_type_id, object_id)
