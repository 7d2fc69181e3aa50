"""Django admin of the labelling side.

Append-only tables are read-only. Foreign keys to samples and tasks are links and searches, never drop-downs
of all rows. Prompts, samples and people are added on the site's own pages.
"""

from labeling.admin import annotations, invitations, projects, tasks

__all__ = ["annotations", "invitations", "projects", "tasks"]
