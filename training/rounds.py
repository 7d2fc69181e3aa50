"""Rounds of the loop, started by an admin or by the number of new comparisons. Free of torch."""
