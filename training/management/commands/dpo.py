"""`manage.py dpo`: tune a policy directly on comparisons, without a reward model."""

from training.management.run_command import RunCommand
from training.models import Run


class Command(RunCommand):
    kind = Run.Kind.DPO
