"""From versions to the answers behind them, from answers to the versions they shaped. Free of torch."""

from training.traces.behind import Behind, Source, behind
from training.traces.descent import Descent
from training.traces.shaped import Shaped, shaped_by
from training.traces.withdrawals import (
    erase,
    of_those_left,
    touched_by,
    withdrawn_from,
    withdrawn_from_each,
)

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
