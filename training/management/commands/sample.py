"""`manage.py sample`: let a policy write samples, and open tasks with them."""

from training.management.run_command import RunCommand
from training.models import Run


class Command(RunCommand):
    kind = Run.Kind.SAMPLE
