"""Django's admin for the labelling side: look projects up, read what people answered.

What is append-only is only shown. Foreign keys of samples and tasks are links and searches, never
drop-downs of everything. Prompts, samples and people come in on the site's own pages.
"""

from labeling.admin import annotations, people, projects, tasks

__all__ = ["annotations", "people", "projects", "tasks"]
