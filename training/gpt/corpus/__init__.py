"""Corpora: which files, read, cleaned and split, and the token shards that a model learns from."""
