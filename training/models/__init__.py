"""What training keeps: runs, what they tell of themselves, versions, and what people decided about them."""

from training.models.decisions import Decision, Gate
from training.models.records import Excerpt, LogLine, Point
from training.models.rounds import Automation, Round
from training.models.runs import HEARTBEAT, SILENCE, Run
from training.models.versions import ModelVersion, version_name

__all__ = [
    "HEARTBEAT",
    "SILENCE",
    "Automation",
    "Decision",
    "Excerpt",
    "Gate",
    "LogLine",
    "ModelVersion",
    "Point",
    "Round",
    "Run",
    "version_name",
]
