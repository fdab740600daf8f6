"""The dashboard at `/`: files that were built before, and the few facts that they need."""

from __future__ import annotations

import base64
import hashlib
import importlib.resources
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from pydantic import SecretStr

from agent_worker.gateway.routes.files import INDEX, BuiltFiles

_STYLE = re.compile(rb"<style>(.*?)</style>", re.DOTALL)


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
    return folder if (folder / INDEX).is_file() else None


def mount(app: FastAPI, config: DashboardConfig | None) -> None:
    """Serve the dashboard; the last of all routes, for it takes every path that is left."""
    if config is not None:
        _serve_config(app, config)
        if config.folder is not None:
            app.mount("/", BuiltFiles(config.folder, _security_headers(config.folder)), name="dashboard")
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


def _security_headers(folder: Path) -> dict[str, str]:
    """Only scripts and styles of this folder run; those that stand in the page itself are known by their hash.

    CSP3 §2.3.1: the hash is that of the text between the tags.
    """
    page = (folder / INDEX).read_bytes()
    digests = (hashlib.sha256(text).digest() for text in _STYLE.findall(page))
    styles = " ".join(["'self'", *(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)])
    return {
        "Content-Security-Policy": (
            f"default-src 'self'; style-src {styles}; img-src 'self' data:; "
            "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
        ),
        "Referrer-Policy": "no-referrer",
    }
