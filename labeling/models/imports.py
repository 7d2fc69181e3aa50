"""Imports of files: what was uploaded, how it is read, and how far the import is."""

from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.core.files.storage import storages
from django.db import models
from django.db.models import Q
from django.utils import timezone

from labeling.models.projects import Project

STORAGE = "artifacts"
"""Where uploads lie: workers on other machines reach it."""
STALLED_AFTER = timedelta(minutes=1)
"""A running import that was not heard of for this long has died with its process."""
FORGOTTEN_AFTER = timedelta(days=1)
"""An upload that was only previewed is deleted after this time."""


class DataImport(models.Model):
    """One file (or pasted text) that was uploaded into a project.

    What is stored of it is stored in one transaction, so that an import that ends early leaves nothing.
    """

    class State(models.TextChoices):
        PREVIEWED = "previewed", "Not imported yet"
        QUEUED = "queued", "Waiting for a worker"
        RUNNING = "running", "Importing"
        DONE = "done", "Imported"
        FAILED = "failed", "Failed"
        CANCELLED = "cancelled", "Cancelled"

    ACTIVE_STATES = (State.QUEUED, State.RUNNING)

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="imports")
    author = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    file_name = models.CharField(max_length=200, blank=True, help_text="Empty: pasted text.")
    stored = models.CharField(max_length=200, blank=True, help_text="Where the upload lies, until the end.")
    size = models.PositiveBigIntegerField(default=0, help_text="Bytes.")
    options = models.JSONField(default=dict, blank=True, help_text="How the file is read.")
    state = models.CharField(max_length=10, choices=State, default=State.PREVIEWED)
    cancel_requested = models.BooleanField(default=False)
    rows = models.PositiveBigIntegerField(default=0, help_text="Rows read so far.")
    progress = models.FloatField(null=True, blank=True, help_text="From 0 to 1; empty: not known.")
    result = models.JSONField(null=True, blank=True, help_text="What was imported, and problems by row.")
    error = models.TextField(blank=True, help_text="Why it failed.")
    idempotency_key = models.CharField(max_length=64, blank=True, help_text="The same on retries by API.")
    created = models.DateTimeField(auto_now_add=True)
    heard = models.DateTimeField(auto_now_add=True, help_text="When the import was last known to be alive.")
    finished = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["project", "idempotency_key"],
                condition=~Q(idempotency_key=""),
                name="labeling_dataimport_key_once",
            )
        ]

    def __str__(self) -> str:
        return self.file_name or "pasted text"

    @property
    def is_active(self) -> bool:
        """Whether it is waiting or being imported."""
        return self.state in self.ACTIVE_STATES

    def begin(self) -> bool:
        """Mark a queued import as running; False if it was cancelled, or another process was first."""
        rows = DataImport.objects.filter(pk=self.pk, state=self.State.QUEUED)
        return bool(rows.update(state=self.State.RUNNING, heard=timezone.now()))

    def report(self, *, rows: int, progress: float | None) -> bool:
        """Record how far it is; False once it is to be cancelled, or was given up."""
        running = DataImport.objects.filter(pk=self.pk, state=self.State.RUNNING)
        running.update(rows=rows, progress=progress, heard=timezone.now())
        return running.filter(cancel_requested=False).exists()

    def finish(self, state: str, *, result: Any = None, error: str = "") -> bool:
        """End the import, and delete the upload; False if it has ended already."""
        unfinished = DataImport.objects.filter(pk=self.pk, finished=None)
        changes = {"state": state, "result": result, "error": error, "finished": timezone.now()}
        if not unfinished.update(**changes):
            return False
        self.delete_upload()
        return True

    def cancel(self) -> None:
        """Cancel it: at once while it waits, else as soon as the process that imports it notices."""
        DataImport.objects.filter(pk=self.pk, finished=None).update(cancel_requested=True)
        waiting = DataImport.objects.filter(pk=self.pk, state__in=[self.State.PREVIEWED, self.State.QUEUED])
        if waiting.update(state=self.State.CANCELLED, finished=timezone.now()):
            self.delete_upload()

    def delete_upload(self) -> None:
        """Delete the uploaded file."""
        if self.stored:
            storages[STORAGE].delete(self.stored)
            DataImport.objects.filter(pk=self.pk).update(stored="")

    @classmethod
    def tidy(cls) -> None:
        """Fail imports whose process has died, and delete uploads that nobody came back to."""
        now = timezone.now()
        for each in cls.objects.filter(state=cls.State.RUNNING, heard__lt=now - STALLED_AFTER):
            each.finish(cls.State.FAILED, error="The worker stopped. Nothing was imported: start it again.")
        forgotten = cls.objects.filter(state=cls.State.PREVIEWED, created__lt=now - FORGOTTEN_AFTER)
        for each in forgotten:
            each.delete_upload()
            each.delete()
