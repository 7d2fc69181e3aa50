"""Conversations with two models at once: who can answer, how answers are written, and live comparisons."""
