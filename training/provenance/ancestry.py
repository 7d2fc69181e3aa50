"""The ancestry of versions: which version was made from which, and from which snapshots."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from training.models import ModelVersion


@dataclass(frozen=True)
class Ancestry:
    """All versions by id: their sources, and the snapshots that their runs were trained on.

    The sources of a version are its parent, the policy its run started from, and the reward model it was
    tuned against.
    """

    sources: Mapping[int, frozenset[int]]
    snapshots: Mapping[int, int]
    run_created: Mapping[int, datetime]
    """When the runs that were trained on the snapshots were created."""

    @classmethod
    def load(cls) -> Self:
        """Read the ancestry from the database in one query."""
        rows = ModelVersion.objects.order_by("pk").values_list(
            "pk", "run__snapshot", "run__created_at", "parent", "run__policy", "run__reward"
        )
        sources: dict[int, frozenset[int]] = {}
        snapshots: dict[int, int] = {}
        run_created: dict[int, datetime] = {}
        for key, snapshot, start, *made_from in rows:
            sources[key] = frozenset(source for source in made_from if source is not None)
            if snapshot is not None:
                snapshots[key], run_created[key] = snapshot, start
        return cls(sources, snapshots, run_created)

    def ancestors(self, *versions: int) -> list[int]:
        """These versions and all they were made from, directly or indirectly; nearest first."""
        return _reachable(versions, self.sources)

    def descendants(self, *versions: int) -> list[int]:
        """These versions and all that were made from them, directly or indirectly; nearest first."""
        makes = defaultdict(set)
        for version, sources in self.sources.items():
            for source in sources:
                makes[source].add(version)
        return _reachable(versions, makes)


def _reachable(start: Iterable[int], ways: Mapping[int, Iterable[int]]) -> list[int]:
    """All nodes reachable from `start`, in breadth-first order."""
    found = dict.fromkeys(start)
    waiting = list(found)
    for each in waiting:
        for following in sorted(ways.get(each, ())):
            if following not in found:
                found[following] = None
                waiting.append(following)
    return waiting
