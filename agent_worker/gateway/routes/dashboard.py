"""The dashboard at `/`: files that were built before, and the few facts that they need."""

from __future__ import annotations

import importlib.resources
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from pydantic import SecretStr
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles
from starlette.status import HTTP_404_NOT_FOUND
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketClose

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
}
_HASHED = "assets/"


@dataclass(frozen=True, slots=True)
class SignIn:
    """A user that the developer's own dashboard signs in as, without typing."""

    email: str
    password: SecretStr


@dataclass(frozen=True, slots=True)
class DashboardConfig:
    """What a page of this server may know.

    Attributes:
        publishable_key: For supabase-js.
        sign_in: Only for a server that is for this machine alone.
        folder: The built files; None where nobody built them.
    """

    publishable_key: SecretStr
    sign_in: SignIn | None = None
    folder: Path | None = None


def built_files() -> Path | None:
    """Return the folder of the built dashboard; None where nobody built one."""
    folder = Path(str(importlib.resources.files("agent_worker.gateway").joinpath("dashboard")))
    return folder if (folder / "index.html").is_file() else None


def mount(app: FastAPI, config: DashboardConfig | None) -> None:
    """Serve the dashboard; the last of all routes, for it takes every path that is left."""
    if config is not None:
        _serve_config(app, config)
        if config.folder is not None:
            app.mount("/", _Files(directory=config.folder, html=True), name="dashboard")
            return

    @app.get("/", include_in_schema=False, response_class=PlainTextResponse)
    async def index() -> str:
        return "agent-worker gateway\n\nThe dashboard is not built. With Node.js: make dashboard, and start this again\n"


def _serve_config(app: FastAPI, config: DashboardConfig) -> None:
    @app.get("/config.json", include_in_schema=False)
    async def config_json(request: Request) -> Response:
        sign_in = config.sign_in if _is_own_page(request) else None
        document: dict[str, Any] = {
            "url": "",
            "publishable_key": config.publishable_key.get_secret_value(),
            "sign_in": sign_in and {"email": sign_in.email, "password": sign_in.password.get_secret_value()},
        }
        return JSONResponse(document, headers={"Cache-Control": "no-store"})


def _is_own_page(request: Request) -> bool:
    """Whether the dashboard itself asks, and no page of another origin that CORS lets read answers."""
    headers = request.headers
    origin = headers.get("origin")
    return headers.get("sec-fetch-site", "same-origin") in ("same-origin", "none") and (
        origin is None or origin.partition("://")[2] == headers.get("host")
    )


class _Files(StaticFiles):
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await WebSocketClose()(scope, receive, send)
            return
        await super().__call__(scope, receive, send)

    async def get_response(self, path: str, scope: Scope) -> Response:
        if scope["method"] not in ("GET", "HEAD"):
            raise HTTPException(HTTP_404_NOT_FOUND)
        response = await super().get_response(path, scope)
        response.headers.update(SECURITY_HEADERS)
        is_hashed = path.startswith(_HASHED)
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable" if is_hashed else "no-cache"
        return response
