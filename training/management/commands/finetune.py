"""`manage.py finetune`: tune a policy against a reward model."""

from training.management.run_command import RunCommand
from training.models import Run


class Command(RunCommand):
    kind = Run.Kind.FINETUNE
