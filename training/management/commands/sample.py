"""`manage.py sample`: generate samples with a policy, and open tasks with them."""

from training.management.run_command import RunCommand
from training.models import Run


class Command(RunCommand):
    kind = Run.Kind.SAMPLE
