"""Tools of MCP servers: all of those that a thread names under `mcpServers`, and single ones as `server__tool`.

A run asks each server for its tools once and remembers the answer in a checkpoint of the task, so that a replay gives a
model the tools that it had.
"""

from __future__ import annotations

from collections.abc import Mapping

from agent_worker.domain.chat import ToolSpec
from agent_worker.domain.errors import ProcessorError
from agent_worker.domain.json import JsonObject
from agent_worker.pipelines.definition.declarations import McpServer
from agent_worker.pipelines.definition.threads import ThreadConfig
from agent_worker.pipelines.names import MCP_SEPARATOR
from agent_worker.pipelines.running.execution import Execution, Step, unsupported
from agent_worker.pipelines.running.toolbox.offer import Call, Offer, Outcome, Run
from agent_worker.tools.mcp import McpServers
from agent_worker.tools.mcp_results import McpTool


async def offers(step: Step, config: ThreadConfig) -> list[Offer]:
    """Return the tools of the thread's servers.

    Raises:
        ProcessorError: A server is not to be had here (`unsupported`), or away (`tool_failed`).
    """
    declared = step.execution.definition.mcp_servers
    found = [
        _offer(step, declared[name], tool)
        for name in config.mcp_servers
        for tool in await _tools(step.execution, declared[name])
    ]
    known = {each.spec.name for each in found}
    single = [await offer(step, name) for name in config.tools if MCP_SEPARATOR in name and name not in known]
    return [*found, *(each for each in single if each is not None)]


async def offer(step: Step, name: str) -> Offer | None:
    """Return the tool that is called `server__tool`; None when the definition has no such server, or it no such tool.

    Raises:
        ProcessorError: As `offers`.
    """
    declared = step.execution.definition.mcp_servers.get(name.partition(MCP_SEPARATOR)[0])
    if declared is None:
        return None
    found = (tool for tool in await _tools(step.execution, declared) if tool.name == name)
    return next((_offer(step, declared, tool) for tool in found), None)


def check(step: Step, config: ThreadConfig) -> None:
    """Refuse a thread's servers that a worker can never reach.

    Raises:
        ProcessorError: One is a device's or a consumer's, or runs on a device, or is not configured (`unsupported`).
    """
    for name in config.mcp_servers:
        _check(step.execution, step.execution.definition.mcp_servers[name])


def connect_eagerly(execution: Execution) -> None:
    """Connect to the servers that are to be there from the start; whether that works is seen at the first call."""
    for name, declared in execution.definition.mcp_servers.items():
        servers = execution.around.mcp
        if declared.connection == "eager" and name in servers:
            servers.warm(name)


def _check(execution: Execution, declared: McpServer) -> None:
    if declared.source != "remote":
        raise unsupported(
            f"The MCP server {declared.name!r} is the {declared.source}'s. Only servers with source: remote, which the "
            "worker is configured with, can be used here."
        )
    if declared.execution != "sandbox":
        raise unsupported(
            f"The MCP server {declared.name!r} is to run on a device, which is not possible here."
        )
    if declared.name not in execution.around.mcp:
        raise unsupported(
            f"No MCP server {declared.name!r} is configured with this worker (AGENT_WORKER_PIPELINE_MCP_SERVERS)."
        )


async def _tools(execution: Execution, declared: McpServer) -> list[McpTool]:
    _check(execution, declared)
    return await _listed(execution, declared.name)


async def _listed(execution: Execution, server: str) -> list[McpTool]:
    async def ask() -> JsonObject:
        return {"tools": [tool.as_json() for tool in await execution.around.mcp.tools(server)]}

    noted = await execution.ctx.step(f"mcp:{server}", ask)
    stored = noted["tools"]
    assert isinstance(stored, list | tuple)  # noqa: S101 - written above
    return [McpTool.read(each) for each in stored if isinstance(each, Mapping)]


def _offer(step: Step, declared: McpServer, tool: McpTool) -> Offer:
    return Offer(
        ToolSpec(tool.name, tool.description, tool.parameters),
        _runs(step, step.execution.around.mcp, declared.name, tool),
        declared.display,
        declared.title,
    )


async def mapped(step: Step, name: str) -> Run | None:
    """Return what calls `server__tool` of a worker's caller, which has checked that it declares the server."""
    server, servers = name.partition(MCP_SEPARATOR)[0], step.execution.around.mcp
    if server not in servers:
        return None
    found = (tool for tool in await _listed(step.execution, server) if tool.name == name)
    return next((_runs(step, servers, server, tool) for tool in found), None)


def _runs(step: Step, servers: McpServers, server: str, tool: McpTool) -> Run:
    async def run(call: Call, part: str) -> Outcome:
        key = step.idempotency_key(part)
        try:
            return Outcome(await servers.call(server, tool.original, call.arguments, idempotency_key=key))
        except ProcessorError as error:
            return Outcome(error=str(error), is_retryable=error.retryable)

    return run
