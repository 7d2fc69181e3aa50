"""Evaluation of policies: win rates, best-of-n, text statistics. Torch-free."""
