"""The labeling app: everything a person does."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class LabelingConfig(AppConfig):
    """Projects, prompts, samples, tasks and the answers people give."""

    name = "labeling"

    def ready(self) -> None:
        """Keep the three groups' rights in step with the models after every migrate."""
        from labeling.people.groups import grant_rights

        post_migrate.connect(grant_rights, dispatch_uid="labeling.people.groups")
