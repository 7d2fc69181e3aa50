"""Preference snapshots: exactly which comparisons a reward model learned from."""

import gzip
import json
from collections.abc import Iterator
from typing import Any

from django.db import models

from labeling.models.projects import Project


class PreferenceSnapshot(models.Model):
    """A frozen set of comparisons. The content never changes: the database refuses an update."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="snapshots")
    hash = models.CharField(max_length=64, help_text="SHA-256 of the comparisons as JSON Lines.")
    count = models.PositiveIntegerField(help_text="Number of comparisons.")
    content = models.BinaryField(help_text="The comparisons as JSON Lines, gzipped.")
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["project", "hash"], name="labeling_snapshot_once_a_project")
        ]

    def __str__(self) -> str:
        return f"{self.project} {self.hash[:12]}"

    def json_lines(self) -> bytes:
        """The comparisons as they were frozen and hashed."""
        return gzip.decompress(bytes(self.content))

    def comparisons(self) -> Iterator[dict[str, Any]]:
        """The frozen rows, as `labeling.preferences.comparisons` gave them."""
        return map(json.loads, self.json_lines().splitlines())
