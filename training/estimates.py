"""How long a run will take on this machine, by the past ones. Free of torch."""
