"""From versions to the answers behind them, from answers to the versions they shaped. Free of torch."""

from training.provenance.ancestry import Descent
from training.provenance.deletion import (
    erase,
    of_those_left,
    touched_by,
    withdrawn_from,
    withdrawn_from_each,
)
from training.provenance.influence import Shaped, shaped_by
from training.provenance.sources import Behind, Source, behind

__all__ = [
    "Behind",
    "Descent",
    "Shaped",
    "Source",
    "behind",
    "erase",
    "of_those_left",
    "shaped_by",
    "touched_by",
    "withdrawn_from",
    "withdrawn_from_each",
]
