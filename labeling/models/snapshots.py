"""Preference snapshots: the exact comparisons, ratings and demonstrations that a model learned from."""

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

    Immutable, except that deleted annotations are removed: the database refuses any other update. The hash
    stays that of the original rows.
    """

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="snapshots")
    hash = models.CharField(max_length=64, help_text="SHA-256 of the rows as JSON Lines.")
    count = models.PositiveIntegerField(help_text="Number of comparisons.")
    rating_count = models.PositiveIntegerField(
        default=0, help_text="Number of ratings: in score projects, one for each sample of each annotation."
    )
    demonstration_count = models.PositiveIntegerField(
        default=0, help_text="Number of demonstrations: in rewrite projects, one for each annotation."
    )
    content = models.BinaryField(
        help_text="Comparisons, ratings, then demonstrations, as gzipped JSON Lines."
    )
    answers = models.ManyToManyField(
        Annotation, through="SnapshotAnswer", related_name="snapshots", help_text="The annotations in it."
    )
    withdrawn = models.PositiveIntegerField(
        default=0, help_text="Annotations that were deleted since and removed from the content."
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
        """The rows as JSON Lines."""
        return gzip.decompress(bytes(self.content))

    def comparisons(self) -> Iterator[dict[str, Any]]:
        """The comparisons, see `labeling.preferences.comparisons`."""
        return (row for row in self._rows() if "chosen" in row)

    def ratings(self) -> Iterator[dict[str, Any]]:
        """The ratings, see `labeling.preferences.ratings`."""
        return (row for row in self._rows() if "score" in row)

    def demonstrations(self) -> Iterator[dict[str, Any]]:
        """The demonstrations, see `labeling.preferences.demonstrations`."""
        return (row for row in self._rows() if not {"chosen", "score"} & set(row))

    def remove_annotations(self, annotations: Collection[int]) -> None:
        """Remove the rows of these annotations (ids), inside the caller's transaction."""
        removed = {str(key) for key in annotations}
        lines = self.json_lines().splitlines(keepends=True)
        kept = b"".join(line for line in lines if json.loads(line)["group"] not in removed)
        self.content = gzip.compress(kept, mtime=0)
        PreferenceSnapshot.objects.filter(pk=self.pk).update(
            content=self.content,
            count=sum(1 for _ in self.comparisons()),
            rating_count=sum(1 for _ in self.ratings()),
            demonstration_count=sum(1 for _ in self.demonstrations()),
            withdrawn=F("withdrawn") + len(removed),
            withdrawn_at=Now(),
        )
        self.refresh_from_db()

    def _rows(self) -> Iterator[dict[str, Any]]:
        return map(json.loads, self.json_lines().splitlines())


class SnapshotAnswer(models.Model):
    """A link between a snapshot and an annotation in it; it connects annotations with the models trained on
    them."""

    snapshot = models.ForeignKey(PreferenceSnapshot, on_delete=models.CASCADE, related_name="+")
    annotation = models.ForeignKey(Annotation, on_delete=models.CASCADE, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["snapshot", "annotation"], name="labeling_snapshot_answer_once")
        ]

    def __str__(self) -> str:
        return f"{self.annotation} in {self.snapshot}"
