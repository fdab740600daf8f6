"""`/metrics`, `/healthz` and `/readyz` over plain HTTP, from a thread, so that a blocked event loop still answers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from agent_worker.domain.errors import ConfigurationError
from agent_worker.telemetry.metrics import Metrics


class TelemetryServer:
    """Serves one process's metrics and health.

    Args:
        metrics: What `/metrics` shows.
        why_not_ready: Says why `/readyz` should answer 503, or None when the worker takes tasks.
        host: Address to listen on.
        port: TCP port; 0 picks a free one, see `port` after `start`.
    """

    def __init__(
        self,
        metrics: Metrics,
        *,
        why_not_ready: Callable[[], str | None],
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self._metrics = metrics
        self._why_not_ready = why_not_ready
        self._address = (host, port)
        self._server: ThreadingHTTPServer | None = None
        self.port = port

    def start(self) -> None:
        """Listen.

        Raises:
            ConfigurationError: The port is taken, or may not be used.
        """
        try:
            self._server = ThreadingHTTPServer(self._address, self._handler())
        except OSError as exc:
            host, port = self._address
            raise ConfigurationError(
                f"cannot serve metrics on {host}:{port} · {exc.strerror or exc} · choose another --metrics-port"
            ) from exc
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, name="telemetry", daemon=True).start()

    def stop(self) -> None:
        """Stop listening; twice is fine."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        metrics, why_not_ready = self._metrics, self._why_not_ready

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                match self.path.partition("?")[0]:
                    case "/metrics":
                        self._reply(200, metrics.render(), "text/plain; version=0.0.4; charset=utf-8")
                    case "/healthz":
                        self._reply(200, b"ok\n")
                    case "/readyz":
                        reason = why_not_ready()
                        self._reply(*((200, b"ready\n") if reason is None else (503, f"{reason}\n".encode())))
                    case _:
                        self._reply(404, b"try /metrics, /healthz or /readyz\n")

            def _reply(self, status: int, body: bytes, kind: str = "text/plain; charset=utf-8") -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
                """Say nothing: a scrape every few seconds is no news."""

        return Handler
