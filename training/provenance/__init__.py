"""Traces versions back to the answers they learned from, and answers forward to versions. Free of torch."""

from training.provenance.ancestry import Ancestry
from training.provenance.answer_deletion import (
    affected_by,
    count_deleted,
    count_deleted_by_version,
    delete_answers,
    without_deleted_annotators,
)
from training.provenance.downstream import Influence, influence_of
from training.provenance.sources import Source, Sources, find_sources

__all__ = [
    "Ancestry",
    "Influence",
    "Source",
    "Sources",
    "affected_by",
    "count_deleted",
    "count_deleted_by_version",
    "delete_answers",
    "find_sources",
    "influence_of",
    "without_deleted_annotators",
]
