from django.apps import AppConfig


class TrainingConfig(AppConfig):
    """Models: pretraining, reward models, tuning, evaluation, and the registry of versions."""

    name = "training"
