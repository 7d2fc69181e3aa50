"""`manage.py pretrain`: train a language model on a corpus."""

from training.management.run_command import RunCommand
from training.models import Run


class Command(RunCommand):
    kind = Run.Kind.PRETRAIN
