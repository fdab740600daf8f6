"""Submit tasks and wait for their answers, from Python.

```python
from agent_worker.client import Client

with Client.from_env() as client:  # DATABASE_URL
    print(client.run("Say hello in five words.").answer)

    task_id = client.submit("Tell me a story.", priority=5)
    for piece in client.stream_text(task_id):
        print(piece.text, end="", flush=True)
```

`AsyncClient` has the same methods as coroutines. Both talk to PostgreSQL directly and see every tenant's tasks: they
are for back ends and scripts. In a browser use supabase-js, which row level security keeps to its own user's rows.
"""

from agent_worker.client.async_client import AsyncClient
from agent_worker.client.columns import TaskColumns
from agent_worker.client.run import StreamEvent
from agent_worker.client.sse import to_sse_stream
from agent_worker.client.sync_client import Client
from agent_worker.client.text import TextPiece
from agent_worker.client.workers import Generated
from agent_worker.domain.client_errors import (
    DuplicateTask,
    QuestionClosed,
    ResultsRefused,
    TaskCancelled,
    TaskFailed,
    TaskNotFound,
    TaskRefused,
    WaitTimeout,
    WorkerError,
)
from agent_worker.domain.errors import AgentWorkerError, DatabaseUnavailable
from agent_worker.domain.records import Question, TaskEvent, TaskResult
from agent_worker.domain.task import TaskStatus

__all__ = [
    "AgentWorkerError",
    "AsyncClient",
    "Client",
    "DatabaseUnavailable",
    "DuplicateTask",
    "Generated",
    "Question",
    "QuestionClosed",
    "ResultsRefused",
    "StreamEvent",
    "TaskCancelled",
    "TaskColumns",
    "TaskEvent",
    "TaskFailed",
    "TaskNotFound",
    "TaskRefused",
    "TaskResult",
    "TaskStatus",
    "TextPiece",
    "WaitTimeout",
    "WorkerError",
    "to_sse_stream",
]
