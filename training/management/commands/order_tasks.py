"""`manage.py order_tasks`: ask first what would teach a reward model most."""

from training.management.run_command import RunCommand
from training.models import Run


class Command(RunCommand):
    kind = Run.Kind.ORDER_TASKS
