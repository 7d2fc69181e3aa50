"""`manage.py train_reward`: train a reward model from people's answers or a file."""

from training.management.run_command import RunCommand
from training.models import Run


class Command(RunCommand):
    kind = Run.Kind.TRAIN_REWARD
