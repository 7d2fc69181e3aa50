"""Who asks, and which versions they may use: keys, permissions and names of models."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db import DatabaseError, close_old_connections
from rest_framework.authentication import TokenAuthentication
from rest_framework.exceptions import AuthenticationFailed

from labeling.access import has_perm_in_any_project
from training import serve_client
from training.models import ModelVersion
from training.models.versions import ModelVersionQuerySet
from training.serving.errors import APIError

PRODUCTION = "production"
"""The name under which the version in production is asked for; `SLUG/production` says in which project."""

_NAME = re.compile(r"[\w./-]+")

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Caller:
    """Who sent a request: a person, or the site itself (None), which checks permissions on its pages."""

    user: User | None

    def versions(self, only: Sequence[str]) -> ModelVersionQuerySet:
        """The policies they may use; with `only`, those of these names."""
        versions = ModelVersion.objects.policies().exclude(stage=ModelVersion.Stage.ARCHIVED)
        if self.user is not None:
            versions = versions.visible_to(self.user)
        if only:
            versions = versions.filter(name__in=only)
        return versions.select_related("project", "parent")


async def in_database(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function that uses the database, in the one thread that has a connection to it."""

    def call() -> T:
        close_old_connections()
        try:
            return function(*args, **kwargs)
        except DatabaseError as error:
            reason = str(error).partition("\n")[0]
            raise APIError(503, f"the database does not answer: {reason}", kind="server_error") from error

    return await sync_to_async(call)()


def authenticate(header: str) -> Caller:
    """The caller whose key is in an Authorization header. Raises APIError: 401, or 403 without permission."""
    scheme, _, key = header.strip().partition(" ")
    key = key.strip()
    if scheme.lower() not in ("bearer", "token") or not key:
        raise _unauthorized("no key: send “Authorization: Bearer KEY” with a token of POST /api/token/.")
    if key.startswith(serve_client.SITE_KEY_PREFIX):
        if not serve_client.is_site_key(key):
            raise _unauthorized("this key of the site is too old, or of another SECRET_KEY.")
        return Caller(None)
    try:
        user, _token = TokenAuthentication().authenticate_credentials(key)
    except AuthenticationFailed:
        raise _unauthorized("the key is not known; POST /api/token/ gives one.") from None
    if not has_perm_in_any_project(user, "training.view_modelversion"):
        message = "you may not view model versions; ask an admin for the role of reviewer or admin."
        raise APIError(403, message, kind="permission_error", code="permission_denied")
    return Caller(user)


def _unauthorized(message: str) -> APIError:
    return APIError(
        401,
        message,
        kind="authentication_error",
        code="invalid_api_key",
        headers={"WWW-Authenticate": "Bearer"},
    )


def find_version(caller: Caller, name: str | None, only: Sequence[str] = ()) -> ModelVersion:
    """The version that a request names; by default the one in production. Raises APIError (404)."""
    versions = caller.versions(only)
    name = name or PRODUCTION
    slug, _, word = name.rpartition("/")
    if not _NAME.fullmatch(name):  # the database cannot even be asked for some
        found = None
    elif word != PRODUCTION:
        found = versions.filter(name=name).first()
    else:
        in_production = versions.filter(stage=ModelVersion.Stage.PRODUCTION)
        candidates = list(in_production.filter(project__slug=slug) if slug else in_production)
        if len(candidates) > 1:
            names = ", ".join(sorted(production_alias(each) for each in candidates))
            raise _unknown(f"model: several projects have a version in production; name one of {names}.")
        found = candidates[0] if candidates else None
    if found is None:
        hint = "no version is in production; " if name == PRODUCTION else ""
        raise _unknown(f"model: {hint}there is no “{name}” that you may use; GET /v1/models lists those.")
    return found


def _unknown(message: str) -> APIError:
    return APIError(404, message, param="model", code="model_not_found")


def production_alias(version: ModelVersion) -> str:
    """The name under which a version in production is served besides its own."""
    return f"{version.project.slug}/{PRODUCTION}" if version.project else PRODUCTION


def list_models(caller: Caller, only: Sequence[str] = ()) -> list[dict[str, Any]]:
    """The models a caller may use, newest first; a version in production also under its alias."""
    versions = list(caller.versions(only))
    in_production = [version for version in versions if version.stage == ModelVersion.Stage.PRODUCTION]
    aliases = {production_alias(version): version for version in in_production}
    if len(in_production) == 1:
        aliases = {PRODUCTION: in_production[0]} | aliases
    return [
        *(describe_model(version, name=alias) for alias, version in aliases.items()),
        *(describe_model(version, name=version.name) for version in versions),
    ]


def describe_model(version: ModelVersion, *, name: str) -> dict[str, Any]:
    """A model as OpenAI's API has it; `root` is the version behind the name, as in vLLM."""
    return {
        "id": name,
        "object": "model",
        "created": int(version.created_at.timestamp()),
        "owned_by": version.project.slug if version.project else "hone",
        "root": version.name,
        "parent": version.parent.name if version.parent else None,
    }
