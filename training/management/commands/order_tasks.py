"""`manage.py order_tasks`: prioritise open tasks by what a reward model would learn from them."""

from training.management.run_command import RunCommand
from training.models import Run


class Command(RunCommand):
    kind = Run.Kind.ORDER_TASKS
