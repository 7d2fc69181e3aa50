"""The registry of model versions: stages, gates, win rates and lineage. Free of torch."""
