"""Signing out."""

from typing import Any

from django.contrib.auth.views import LogoutView
from django.http import HttpRequest, HttpResponse

from labeling import queue


class SignOut(LogoutView):
    """Sign out and give back the tasks that were held, so that nobody waits for their leases to run out.

    A person signed in twice loses them in the other browser too: it keeps the draft and claims them again.
    """

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Release, then sign out."""
        if request.user.is_authenticated:
            queue.release_all(annotator=request.user)
        return super().post(request, *args, **kwargs)
