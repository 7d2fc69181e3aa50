"""Endpoints: models behind an OpenAI-compatible server elsewhere, which write samples as versions do."""

import re
from typing import Any, Self
from urllib.parse import urlsplit

from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models, transaction
from django.urls import reverse

from labeling.models import Generator
from training.models.versions import version_name

EXAMPLE_URL = "https://api.example.com/v1"
RESERVED_PARAMETERS = frozenset({"model", "messages", "prompt", "stream", "n"})
"""Parts of a request that are never extra parameters."""


def check_url(value: str) -> None:
    """A base URL has a scheme, a host and a path, nothing else."""
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        raise ValidationError(f"“{value}” is not a URL: write it as {EXAMPLE_URL}.") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or re.search(r"\s", value):
        raise ValidationError(f"“{value}” is not a URL: write it as {EXAMPLE_URL}.")
    if parts.username is not None or parts.password is not None:
        raise ValidationError(
            "leave names and passwords out of the URL: a key comes from an environment variable."
        )
    if parts.query or parts.fragment:
        raise ValidationError("leave out what follows ? or #: only the base URL is asked for.")
    if parts.path.rstrip("/").endswith("/completions"):
        raise ValidationError("give the base URL, without /completions or /chat/completions.")


def check_key_variable(value: str) -> None:
    """The name of an environment variable for an API key; never a key, nor a variable of another purpose."""
    if not re.fullmatch(r"[A-Z][A-Z0-9_]*", value) or (len(value) > 24 and "_" not in value):
        raise ValidationError(
            "this looks like a key, not like the name of an environment variable. Set the key in the "
            "environment of the site and its workers, for example as OPENAI_API_KEY, and give that name."
        )
    if "API_KEY" not in value:
        raise ValidationError(
            "the name must contain API_KEY, as OPENAI_API_KEY does: no other secret of this machine is sent."
        )


def check_extra_parameters(value: Any) -> None:
    """Extra parameters are a JSON object without the parts of a request that Hone itself writes."""
    if not isinstance(value, dict):
        raise ValidationError('extra parameters are an object, such as {"top_k": 20}.')
    if taken := sorted(RESERVED_PARAMETERS & set(value)):
        raise ValidationError(f"leave out {taken[0]}: it is written for each request.")


class EndpointQuerySet(models.QuerySet["Endpoint"]):
    def visible_to(self, user: User | AnonymousUser) -> Self:
        """All for people with the permission on the whole site: endpoints belong to no project."""
        return self if user.has_perm("training.view_endpoint") else self.none()


class Endpoint(models.Model):
    """A model behind an OpenAI-compatible server: vLLM, llama.cpp, Ollama, TGI or a hosted API."""

    class Api(models.TextChoices):
        CHAT = "chat", "Chat completions"
        COMPLETIONS = "completions", "Plain completions"

    name = models.CharField(
        max_length=80, unique=True, validators=[version_name], help_text="Its name as the author of samples."
    )
    url = models.CharField(
        "URL",
        max_length=500,
        validators=[check_url],
        help_text=f"Base URL of the server, such as {EXAMPLE_URL}.",
    )
    model = models.CharField(max_length=200, help_text="The model's name on that server.")
    api = models.CharField(
        "API",
        max_length=12,
        choices=Api,
        default=Api.CHAT,
        help_text="Chat completions for chat models, plain completions for base models.",
    )
    api_key_variable = models.CharField(
        "API key variable",
        max_length=100,
        blank=True,
        validators=[check_key_variable],
        help_text="Name of the environment variable that holds the key; empty: no key is sent.",
    )
    concurrency = models.PositiveSmallIntegerField(
        default=8,
        validators=[MinValueValidator(1), MaxValueValidator(256)],
        help_text="Requests at the same time.",
    )
    requests_per_minute = models.PositiveIntegerField(
        default=0, validators=[MaxValueValidator(1_000_000)], help_text="Largest number; 0: no limit."
    )
    timeout = models.PositiveIntegerField(
        default=120,
        validators=[MinValueValidator(1), MaxValueValidator(3600)],
        help_text="Seconds until a request counts as failed.",
    )
    retries = models.PositiveSmallIntegerField(
        default=5,
        validators=[MaxValueValidator(20)],
        help_text="Further attempts after a failed request.",
    )
    extra_parameters = models.JSONField(
        default=dict,
        blank=True,
        validators=[check_extra_parameters],
        help_text='Sent with each request, such as {"top_k": 20}; null leaves a parameter out.',
    )
    generator = models.OneToOneField(
        Generator,
        models.PROTECT,
        related_name="endpoint",
        editable=False,
        help_text="Its name as the author of samples.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = EndpointQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **options: Any) -> None:
        """A new endpoint gets a `Generator` of its name, to which its samples belong."""
        with transaction.atomic():
            if self._state.adding:
                self.generator = Generator.objects.create(name=self.name)
            super().save(*args, **options)

    def get_absolute_url(self) -> str:
        return reverse("admin:training_endpoint_change", args=[self.pk])
