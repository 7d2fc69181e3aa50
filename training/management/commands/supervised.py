"""`manage.py supervised`: tune a policy to write as demonstrations do."""

from training.management.run_command import RunCommand
from training.models import Run


class Command(RunCommand):
    kind = Run.Kind.SUPERVISED
