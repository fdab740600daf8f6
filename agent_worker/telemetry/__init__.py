"""One door for logs and metrics.

Log events are constant dotted names in the past tense with facts as keys (`task.completed`, `lease.lost`); metrics
count the same things. docs/operate.md lists both.
"""

from agent_worker.telemetry.http import TelemetryServer
from agent_worker.telemetry.logs import LogFormat, TaskLog, configure_logging, task_logger
from agent_worker.telemetry.metrics import Metrics

__all__ = ["LogFormat", "Metrics", "TaskLog", "TelemetryServer", "configure_logging", "task_logger"]
