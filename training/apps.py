from django.apps import AppConfig


class TrainingConfig(AppConfig):
    """Runs and model versions: everything a model does."""

    name = "training"
