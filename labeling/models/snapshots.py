"""Preference snapshots: exactly which comparisons and ratings a reward model learned from."""

import gzip
import json
from collections.abc import Collection, Iterator
from typing import Any

from django.db import models
from django.db.models import F
from django.db.models.functions import Now

from labeling.models.annotations import Annotation
from labeling.models.projects import Project


class PreferenceSnapshot(models.Model):
    """A frozen set of comparisons, ratings and demonstrations.

    The content never changes, but that deleted answers are taken out of it: the database refuses any other
    update. The hash stays that of the rows as they were frozen.
    """

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="snapshots")
    hash = models.CharField(max_length=64, help_text="SHA-256 of the rows as JSON Lines.")
    count = models.PositiveIntegerField(help_text="Number of comparisons.")
    rating_count = models.PositiveIntegerField(
        default=0, help_text="Number of ratings: of score projects, one for each sample of each answer."
    )
    demonstration_count = models.PositiveIntegerField(
        default=0, help_text="Number of demonstrations: of rewrite projects, one for each answer."
    )
    content = models.BinaryField(
        help_text="The comparisons, the ratings, then the demonstrations, as JSON Lines, gzipped."
    )
    answers = models.ManyToManyField(
        Annotation, through="SnapshotAnswer", related_name="snapshots", help_text="What it was made from."
    )
    withdrawn = models.PositiveIntegerField(
        default=0, help_text="Answers that were deleted since, and taken out of the content."
    )
    withdrawn_at = models.DateTimeField(null=True, blank=True)
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["project", "hash"], name="labeling_snapshot_once_a_project")
        ]

    def __str__(self) -> str:
        return f"{self.project} {self.hash[:12]}"

    def json_lines(self) -> bytes:
        """The rows as they were frozen and hashed."""
        return gzip.decompress(bytes(self.content))

    def comparisons(self) -> Iterator[dict[str, Any]]:
        """The frozen comparisons, as `labeling.preferences.comparisons` gave them."""
        return (row for row in self._rows() if "chosen" in row)

    def ratings(self) -> Iterator[dict[str, Any]]:
        """The frozen ratings, as `labeling.preferences.ratings` gave them."""
        return (row for row in self._rows() if "score" in row)

    def demonstrations(self) -> Iterator[dict[str, Any]]:
        """The frozen demonstrations, as `labeling.preferences.demonstrations` gave them."""
        return (row for row in self._rows() if not {"chosen", "score"} & set(row))

    def withdraw(self, answers: Collection[int]) -> None:
        """Take the rows of these answers (ids) out of the content, inside the caller's transaction."""
        gone = {str(key) for key in answers}
        lines = self.json_lines().splitlines(keepends=True)
        kept = b"".join(line for line in lines if json.loads(line)["group"] not in gone)
        self.content = gzip.compress(kept, mtime=0)
        PreferenceSnapshot.objects.filter(pk=self.pk).update(
            content=self.content,
            count=sum(1 for _ in self.comparisons()),
            rating_count=sum(1 for _ in self.ratings()),
            demonstration_count=sum(1 for _ in self.demonstrations()),
            withdrawn=F("withdrawn") + len(gone),
            withdrawn_at=Now(),
        )
        self.refresh_from_db()

    def _rows(self) -> Iterator[dict[str, Any]]:
        return map(json.loads, self.json_lines().splitlines())


class SnapshotAnswer(models.Model):
    """That a snapshot was made from an answer: the way from an answer to the models that it shaped."""

    snapshot = models.ForeignKey(PreferenceSnapshot, on_delete=models.CASCADE, related_name="+")
    annotation = models.ForeignKey(Annotation, on_delete=models.CASCADE, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["snapshot", "annotation"], name="labeling_snapshot_answer_once")
        ]

    def __str__(self) -> str:
        return f"{self.annotation} in {self.snapshot}"
