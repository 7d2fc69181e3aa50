"""Which version came from which, and from which answers."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from training.models import ModelVersion


@dataclass(frozen=True)
class Ancestry:
    """All versions by their ids: what each was made from, and the snapshot that its run learned from.

    A version is made from its parent, from the policy that its run began from, and from the reward model that
    it was tuned against.
    """

    sources: Mapping[int, frozenset[int]]
    snapshots: Mapping[int, int]
    run_created: Mapping[int, datetime]
    """When the runs that learned from them began."""

    @classmethod
    def load(cls) -> Self:
        """As the database has it: one query."""
        rows = ModelVersion.objects.order_by("pk").values_list(
            "pk", "run__snapshot", "run__created_at", "parent", "run__policy", "run__reward"
        )
        sources, snapshots, run_created = {}, {}, {}
        for key, snapshot, start, *sources in rows:
            sources[key] = frozenset(source for source in sources if source is not None)
            if snapshot is not None:
                snapshots[key], run_created[key] = snapshot, start
        return cls(sources, snapshots, run_created)

    def ancestors(self, *versions: int) -> list[int]:
        """These versions, and whatever they were made from, however far back: the nearest first."""
        return _reachable(versions, self.sources)

    def descendants(self, *versions: int) -> list[int]:
        """These versions, and whatever was made from them: the nearest first."""
        makes = defaultdict(set)
        for version, sources in self.sources.items():
            for source in sources:
                makes[source].add(version)
        return _reachable(versions, makes)


def _reachable(start: Iterable[int], ways: Mapping[int, Iterable[int]]) -> list[int]:
    """What can be reached, in the order of the number of steps."""
    found = dict.fromkeys(start)
    waiting = list(found)
    for each in waiting:
        for following in sorted(ways.get(each, ())):
            if following not in found:
                found[following] = None
                waiting.append(following)
    return waiting
