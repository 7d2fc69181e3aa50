"""Sign-in for the Django admin, on the site's own page."""

from django.contrib import admin
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.cache import never_cache


@never_cache
def admin_sign_in(request: HttpRequest) -> HttpResponse:
    """Redirect to the site's sign-in page; 403 for a signed-in user who may not use the admin."""
    if request.user.is_authenticated and not admin.site.has_permission(request):
        raise PermissionDenied
    return redirect_to_login(request.GET.get("next") or reverse("admin:index"))
