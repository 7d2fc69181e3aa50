"""The tables of training: runs and their records, model versions, endpoints, live conversations, gates,
decisions and rounds."""

from training.models.decisions import Decision, Gate
from training.models.endpoints import Endpoint
from training.models.live import LiveAnswer, LiveConversation, LiveTurn
from training.models.records import LogLine, MetricPoint, RunSample
from training.models.rounds import Automation, Round
from training.models.runs import HEARTBEAT_INTERVAL, HEARTBEAT_TIMEOUT, Run
from training.models.versions import ModelVersion, version_name

__all__ = [
    "HEARTBEAT_INTERVAL",
    "HEARTBEAT_TIMEOUT",
    "Automation",
    "Decision",
    "Endpoint",
    "Gate",
    "LiveAnswer",
    "LiveConversation",
    "LiveTurn",
    "LogLine",
    "MetricPoint",
    "ModelVersion",
    "Round",
    "Run",
    "RunSample",
    "version_name",
]
