"""Annotators' own pages: available projects, pace, goals, history, keyboard shortcuts."""
