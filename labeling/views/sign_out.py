"""Signing out."""

from typing import Any

from django.contrib.auth.views import LogoutView
from django.http import HttpRequest, HttpResponse

from labeling import queue


class SignOut(LogoutView):
    """Sign out and release the tasks held, so that nobody waits for their leases to expire.

    A second browser of the same person loses them too; it keeps the draft and can claim them again.
    """

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Release, then sign out."""
        if request.user.is_authenticated:
            queue.release_all(annotator=request.user)
        return super().post(request, *args, **kwargs)
