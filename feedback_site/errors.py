"""Error pages that say more than the number of the error."""

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """400, or 413 for a form with too much text in it."""
    if isinstance(exception, RequestDataTooBig):
        problem = "That is too much text to send in a form. Save it as a file and choose the file instead."
        return render(request, "400.html", {"problem": problem}, status=413)
    return render(request, "400.html", status=400)
