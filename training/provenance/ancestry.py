"""Which version came from which, and from which answers."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from training.models import ModelVersion


@dataclass(frozen=True)
class Descent:
    """All versions by their ids: what each was made from, and the snapshot that its run learned from.

    A version is made from its parent, from the policy that its run began from, and from the reward model that
    it was tuned against.
    """

    made_from: Mapping[int, frozenset[int]]
    snapshots: Mapping[int, int]
    began: Mapping[int, datetime]
    """When the runs that learned from them began."""

    @classmethod
    def known(cls) -> Self:
        """As the database has it: one query."""
        rows = ModelVersion.objects.order_by("pk").values_list(
            "pk", "run__snapshot", "run__created_at", "parent", "run__policy", "run__reward"
        )
        made_from, snapshots, began = {}, {}, {}
        for key, snapshot, start, *sources in rows:
            made_from[key] = frozenset(source for source in sources if source is not None)
            if snapshot is not None:
                snapshots[key], began[key] = snapshot, start
        return cls(made_from, snapshots, began)

    def ancestors(self, *versions: int) -> list[int]:
        """These versions, and whatever they were made from, however far back: the nearest first."""
        return _reached(versions, self.made_from)

    def descendants(self, *versions: int) -> list[int]:
        """These versions, and whatever was made from them: the nearest first."""
        makes = defaultdict(set)
        for version, sources in self.made_from.items():
            for source in sources:
                makes[source].add(version)
        return _reached(versions, makes)


def _reached(start: Iterable[int], ways: Mapping[int, Iterable[int]]) -> list[int]:
    """What can be reached, in the order of the number of steps."""
    found = dict.fromkeys(start)
    waiting = list(found)
    for each in waiting:
        for following in sorted(ways.get(each, ())):
            if following not in found:
                found[following] = None
                waiting.append(following)
    return waiting
