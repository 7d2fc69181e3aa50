"""How far apart two ways to compute the same float32 numbers may end, whatever processor rounds them."""

EPSILON = 2.0**-23
"""The step from 1 to the next float32."""


def rounding(operations: int, *, size: float = 1.0) -> float:
    """The largest difference between two results of `operations` sums and products of numbers up to `size`.

    Each operation is off by at most half an epsilon of its result (Higham 2002, section 3.1), in either way.
    """
    return operations * EPSILON * size
