"""How a worker reaches its MCP servers; what is secret stays out of every text that is made of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, TypeAlias
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Discriminator, Field, SecretStr, Tag, field_validator


class _Server(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    def __repr__(self) -> str:
        """Show where it is, and no more."""
        return str(self)


class McpHttp(_Server):
    """A server behind an address: streamable HTTP."""

    url: str = Field(description="http or https.")
    headers: dict[str, SecretStr] = Field(default={}, description="Sent with each request.")

    @field_validator("url")
    @classmethod
    def _is_http(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("it should look like https://host/path")
        return url

    def __str__(self) -> str:
        """Name scheme and host; the rest of an address may be a secret."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.hostname}"


class McpStdio(_Server):
    """A program that speaks over its standard input and output. It inherits PATH, HOME, USER, SHELL and TERM alone."""

    command: str = Field(min_length=1)
    args: tuple[str, ...] = ()
    env: dict[str, SecretStr] = Field(default={}, description="Added to its environment.")

    def __str__(self) -> str:
        """Name the program; arguments may be secrets."""
        return self.command


def _kind(value: object) -> str:
    if isinstance(value, Mapping):
        return "url" if "url" in value else "command"
    return "url" if isinstance(value, McpHttp) else "command"


McpServerConfig: TypeAlias = Annotated[
    Annotated[McpHttp, Tag("url")] | Annotated[McpStdio, Tag("command")], Discriminator(_kind)
]
"""`{"url", "headers"?}` or `{"command", "args"?, "env"?}`."""
