"""A real worker, as the engine's tests have it."""

from tests.worker.conftest import project, rows, start_worker, way

__all__ = ["project", "rows", "start_worker", "way"]
