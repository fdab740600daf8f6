"""agent-worker: insert a row, get an answer.

Everything a processor needs stands here; the command line is `agent-worker`, the Python client is
`agent_worker.client`.
"""

from agent_worker.domain.definitions import StoredDefinition, UnknownDefinition
from agent_worker.domain.errors import (
    Cancelled,
    InvalidPayload,
    LeaseLost,
    ProcessorError,
    ProviderPaused,
    UpstreamError,
)
from agent_worker.domain.events import Event
from agent_worker.domain.json import JsonObject, JsonValue
from agent_worker.domain.processor import Processor, TaskContext
from agent_worker.domain.task import Resume, Task

__version__ = "0.1.0"

__all__ = [
    "Cancelled",
    "Event",
    "InvalidPayload",
    "JsonObject",
    "JsonValue",
    "LeaseLost",
    "Processor",
    "ProcessorError",
    "ProviderPaused",
    "Resume",
    "StoredDefinition",
    "Task",
    "TaskContext",
    "UnknownDefinition",
    "UpstreamError",
    "__version__",
]
