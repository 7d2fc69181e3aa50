"""Corpora: sources, reading, cleaning and splitting, and the token shards that models are trained on."""
