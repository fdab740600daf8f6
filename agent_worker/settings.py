"""One door for configuration: environment variables and a `.env` file, checked at the start.

Zero settings works. Names begin with `AGENT_WORKER_`; the few that other tools share keep their usual names
(`DATABASE_URL`, `SUPABASE_URL`, `OPENAI_API_KEY` …). A name with our prefix that nobody knows is an error, because a misspelt
setting is worse than a missing one.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar

from dotenv import dotenv_values
from pydantic import AliasChoices, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict, SettingsError

from agent_worker.domain.errors import ConfigurationError

Model = TypeVar("Model", bound=BaseSettings)

PREFIX = "AGENT_WORKER_"
ENV_FILE = ".env"


class Settings(BaseSettings):
    """Everything that can be set. `agent-worker config` shows the values in force and where each comes from."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=ENV_FILE,
        extra="ignore",
        frozen=True,
        env_ignore_empty=True,
        populate_by_name=True,
    )

    database_url: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("DATABASE_URL", "AGENT_WORKER_DATABASE_URL"),
        description="PostgreSQL to use; without it (and without SUPABASE_URL) an embedded one is started.",
    )
    supabase_url: str | None = Field(
        default=None,
        validation_alias=AliasChoices("SUPABASE_URL", "AGENT_WORKER_SUPABASE_URL"),
        description="Supabase project for `run` to work in over HTTP, where DATABASE_URL is not set.",
    )
    supabase_service_key: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices(
            "SUPABASE_SERVICE_KEY",
            "SUPABASE_SERVICE_ROLE_KEY",
            "SUPABASE_SECRET_KEY",
            "AGENT_WORKER_SUPABASE_SERVICE_KEY",
        ),
        description="Secret (service_role) key of that project; SUPABASE_SERVICE_ROLE_KEY and SUPABASE_SECRET_KEY do as well.",
    )
    data_dir: Path = Field(
        default=Path(".agent-worker"),
        description="Folder of the embedded PostgreSQL and the local model's state.",
    )

    kinds: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Kinds this worker offers, separated by commas; empty means all it finds."
    )
    processes: int = Field(default=1, ge=1, le=256, description="Worker processes started by one `run`.")
    concurrency: int = Field(default=100, ge=1, le=10_000, description="Attempts at once per process.")
    process_pool: int | None = Field(
        default=None,
        ge=1,
        le=1_024,
        description='Attempts at once of processors with `runs_in = "process"`, per worker; unset: one per core.',
    )
    name: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        description="Name of the worker; unique among the living. Made up if unset.",
    )

    poll_interval_s: float = Field(
        default=2.0, gt=0, le=60, description="Seconds between looks into the queue when nobody rings."
    )
    heartbeat_s: float = Field(default=10.0, gt=0, le=300, description="Seconds between heartbeats.")
    lease_s: float = Field(
        default=30.0,
        gt=0,
        le=3600,
        description="Seconds without a heartbeat after which a worker's tasks are rescued; at least 3 heartbeats.",
    )
    shutdown_grace_s: float = Field(
        default=30.0, ge=0, le=3600, description="Seconds that running tasks get to finish after SIGTERM."
    )
    backoff_base_s: float = Field(
        default=1.0,
        ge=0,
        le=3600,
        description="Ceiling of the wait before the second attempt; doubles each time.",
    )
    backoff_max_s: float = Field(
        default=300.0, ge=0, le=86_400, description="Largest wait between attempts, in seconds."
    )
    unknown_kind_grace_s: float = Field(
        default=60.0,
        ge=0,
        le=86_400,
        description="Age in seconds at which a task fails whose kind no worker ever offered.",
    )
    retention_days: float = Field(
        default=30.0, gt=0, le=36_500, description="Days that finished tasks are kept."
    )

    stream: Literal["changes", "broadcast"] = Field(
        default="changes",
        description="How streamed text reaches clients: changes (rows of the table) or broadcast (Realtime, then fewer rows).",
    )

    metrics_port: int | None = Field(
        default=None,
        ge=0,
        le=65_535,
        description="Serve /metrics, /healthz and /readyz here; process n of several uses port + n.",
    )
    metrics_host: str = Field(default="127.0.0.1", description="Address the metrics listen on.")
    gateway_host: str = Field(
        default="127.0.0.1",
        description="Address the gateway listens on; beyond this machine it needs both keys and a JWT secret or JWKS URL.",
    )
    gateway_port: int = Field(
        default=54_321, ge=0, le=65_535, description="Port of the gateway; 0: a free one."
    )
    gateway_connections: int = Field(
        default=10, ge=1, le=200, description="Database connections of the gateway for requests."
    )
    gateway_auth: bool = Field(
        default=False,
        description="Serve auth/v1: sign-in by address without mail, meant for development; `dev` always does.",
    )
    publishable_key: SecretStr | None = Field(
        default=None,
        description="Key of browsers, sb_publishable_…; unset: made once, in AGENT_WORKER_DATA_DIR.",
    )
    secret_key: SecretStr | None = Field(
        default=None, description="Key of servers, sb_secret_…; unset: made once, in AGENT_WORKER_DATA_DIR."
    )
    jwt_secret: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("AGENT_WORKER_JWT_SECRET", "SUPABASE_JWT_SECRET"),
        description="Secret that HS256 tokens are signed with, 32 bytes or more; unset: made once, unless there is a JWKS URL.",
    )
    jwks_url: str | None = Field(
        default=None,
        description="Public keys of tokens signed elsewhere: https://PROJECT.supabase.co/auth/v1/.well-known/jwks.json",
    )
    jwt_audience: str = Field(
        default="authenticated",
        min_length=1,
        description="What the claim aud of a token must name where it has one.",
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Origins of pages that may ask, separated by commas; * for all. Pages of this machine may by default.",
    )
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Names the gateway may be called by besides localhost, separated by commas; empty beyond it: any.",
    )
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Addresses of proxies whose X-Forwarded-For is believed, separated by commas; * for all.",
    )
    rate_per_address: float = Field(
        default=1000.0,
        ge=0,
        le=1_000_000,
        description="Requests a second from one address, ten times as many at once; 0: no limit.",
    )
    rate_per_caller: float = Field(
        default=1000.0,
        ge=0,
        le=1_000_000,
        description="The same for one user, or one key at one address.",
    )
    log_level: str = Field(
        default="info", pattern="^(debug|info|warning|error)$", description="debug, info, warning or error."
    )
    log_format: Literal["auto", "console", "json"] = Field(
        default="auto", description="auto (pretty on a terminal, JSON elsewhere), console or json."
    )

    model: str | None = Field(
        default=None,
        description="Default model as provider/model; unset: openai with a key, else the local model, else echo.",
    )
    openai_api_key: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("OPENAI_API_KEY", "AGENT_WORKER_OPENAI_API_KEY"),
        description="Key for openai/… models.",
    )
    openai_base_url: str | None = Field(
        default=None,
        validation_alias=AliasChoices("OPENAI_BASE_URL", "AGENT_WORKER_OPENAI_BASE_URL"),
        description="OpenAI-compatible server to use for openai/… models.",
    )

    @model_validator(mode="before")
    @classmethod
    def _split_lists(cls, values: dict[str, object]) -> dict[str, object]:
        for name in ("kinds", "cors_origins", "allowed_hosts", "trusted_proxies"):
            text = values.get(name)
            if isinstance(text, str):
                values[name] = tuple(item.strip() for item in text.split(",") if item.strip())
        return values

    @model_validator(mode="after")
    def _supabase_is_whole(self) -> Self:
        if self.database_url is not None:
            return self
        if self.supabase_url is not None and self.supabase_service_key is None:
            raise ValueError(
                "SUPABASE_URL is set and SUPABASE_SERVICE_KEY is not; set it to the project's secret (service_role) key, "
                "or set DATABASE_URL instead"
            )
        if self.supabase_service_key is not None and self.supabase_url is None:
            raise ValueError(
                "SUPABASE_SERVICE_KEY is set and SUPABASE_URL is not; set it to https://PROJECT.supabase.co, "
                "or set DATABASE_URL instead"
            )
        return self

    @property
    def is_over_http(self) -> bool:
        """Whether workers reach their database by a Supabase project's URL and key, without a connection of their own."""
        return self.database_url is None and self.supabase_url is not None

    @model_validator(mode="after")
    def _lease_outlives_heartbeats(self) -> Self:
        if self.lease_s < 3 * self.heartbeat_s:
            raise ValueError(
                f"AGENT_WORKER_LEASE_S ({self.lease_s:g}) is shorter than three heartbeats of {self.heartbeat_s:g} s; "
                f"set it to at least {3 * self.heartbeat_s:g}, or shorten AGENT_WORKER_HEARTBEAT_S"
            )
        return self


def load_settings(
    overrides: Mapping[str, object] | None = None, *, known: Iterable[type[BaseSettings]] = ()
) -> Settings:
    """Read and check the settings.

    Args:
        overrides: Values from the command line by field name; None entries count as not given.
        known: Settings classes of processors, whose names are allowed too.

    Raises:
        ConfigurationError: A value is out of range, or a name with our prefix is unknown.
    """
    refuse_unknown(known)
    given = {name: value for name, value in (overrides or {}).items() if value is not None}
    return read(Settings, **given)


def read(cls: type[Model], **given: object) -> Model:
    """Read one settings class, a processor's for instance, from the environment and `.env`.

    Args:
        cls: Which.
        given: Values that win over both, by field name.

    Raises:
        ConfigurationError: A value is missing, of the wrong type, or out of range; names each.
    """
    # All settings classes share one file, and pydantic takes what belongs to the others for a mistake.
    config = SettingsConfigDict(extra="ignore")
    lenient: type[Model] = type(cls.__name__, (cls,), {"__module__": cls.__module__, "model_config": config})
    try:
        return lenient(_env_file=ENV_FILE, **given)  # type: ignore[arg-type]  # pydantic checks them
    except ValidationError as exc:
        raise ConfigurationError(_explain(exc, cls)) from exc
    except SettingsError as exc:  # a value that should be JSON and is none; it may hold secrets
        raise ConfigurationError(f"{exc} · it should be JSON") from None


def refuse_unknown(known: Iterable[type[BaseSettings]] = ()) -> None:
    """Raise ConfigurationError for a name with our prefix, in the environment or `.env`, that no setting has."""
    classes: tuple[type[BaseSettings], ...] = (Settings, *known)
    names = {name for cls in classes for field in cls.model_fields for name in env_names(cls, field)}
    given = {*os.environ, *dotenv_values(ENV_FILE)} if Path(ENV_FILE).is_file() else set(os.environ)
    for name in sorted(given):
        if name.startswith(PREFIX) and name not in names:
            close = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean {close[0]}?" if close else "`agent-worker config` lists all"
            raise ConfigurationError(f"{name} is no setting of agent-worker · {hint}")


def env_names(cls: type[BaseSettings], field: str) -> list[str]:
    """Return the environment variables that set a field, the preferred one first."""
    alias = cls.model_fields[field].validation_alias
    if isinstance(alias, AliasChoices):
        return [str(choice) for choice in alias.choices]
    return [f"{cls.model_config.get('env_prefix', '')}{field}".upper()]


def _explain(exc: ValidationError, cls: type[BaseSettings]) -> str:
    problems = []
    for problem in exc.errors(include_url=False, include_input=False):
        field = str(problem["loc"][0]) if problem["loc"] else ""
        message = problem["msg"].removeprefix("Value error, ")
        name = env_names(cls, field)[0] if field in cls.model_fields else field
        problems.append(f"{name}: {message}" if name else message)
    return " · ".join(problems)
