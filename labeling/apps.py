"""The labeling app: everything a person does."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class LabelingConfig(AppConfig):
    """Projects, prompts, samples, tasks and annotations."""

    name = "labeling"

    def ready(self) -> None:
        """Update the permissions of the three groups after every migrate."""
        from labeling.people.groups import grant_permissions

        post_migrate.connect(grant_permissions, dispatch_uid="labeling.people.groups")
