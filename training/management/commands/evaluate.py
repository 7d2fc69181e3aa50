"""`manage.py evaluate`: measure a policy."""

from training.management.run_command import RunCommand
from training.models import Run


class Command(RunCommand):
    kind = Run.Kind.EVALUATE
