"""Addresses of static files when a proxy puts the site under a path, such as `/hone`.

Django reads the path of a request (`SCRIPT_NAME`) for the addresses of pages, but that of static files only
once, at the start.
"""

from typing import Any

from django.contrib.staticfiles.storage import StaticFilesStorage
from django.urls import get_script_prefix
from whitenoise.storage import CompressedManifestStaticFilesStorage


class PrefixedStaticFiles(StaticFilesStorage):
    """Static files below the path of the request."""

    def url(self, *args: Any, **options: Any) -> str:
        """The address of a file."""
        return get_script_prefix() + super().url(*args, **options).removeprefix("/")


class HashedStaticFiles(PrefixedStaticFiles, CompressedManifestStaticFilesStorage):  # type: ignore[misc]
    """The same in production: names have the hash of their content, and files are compressed."""
