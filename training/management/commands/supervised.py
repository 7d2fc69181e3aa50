"""`manage.py supervised`: fine-tune a policy on demonstrations."""

from training.management.run_command import RunCommand
from training.models import Run


class Command(RunCommand):
    kind = Run.Kind.SUPERVISED
