"""A fleet on two hosts, each a network namespace; the line of one is down for longer than the lease.

The database is reached through sockets that live in a third namespace, between the two: the ends of the lines.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.chaos.conftest import Rounds
from tests.chaos.scene import Scene

LISTEN = """
import socket, sys
listening = socket.create_server((sys.argv[1], 0))
socket.send_fds(socket.socket(fileno=int(sys.argv[2])), [b"."], [listening.fileno()])
"""


@dataclass(frozen=True, slots=True)
class Host:
    """A network namespace whose one line leads to the database."""

    namespace: str
    gate: str
    """Address at the database's end of the line."""

    @property
    def prefix(self) -> list[str]:
        """Starts a program on this host; the program keeps the pid."""
        return ["ip", "netns", "exec", self.namespace]

    def line(self, state: str) -> None:
        """Take the line `down` or `up`; connections over it stay as they are."""
        ip("-n", self.namespace, "link", "set", "line", state)


@pytest.fixture(scope="module")
def hosts() -> Iterator[tuple[Host, Host]]:
    """Two hosts and the middle between them."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("only root with iproute2 can make network namespaces")
    mark = f"aw{os.getpid()}"
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(namespace(f"{mark}-db"))
            made = [
                make_host(stack, f"{mark}-{name}", f"{mark}-db", f"10.203.{n}") for n, name in enumerate("ab")
            ]
        except subprocess.CalledProcessError as exc:
            pytest.skip(f"no network namespaces can be made here: {exc.stderr.strip()}")
        yield made[0], made[1]


async def test_a_host_whose_line_was_down_beyond_the_lease_loses_its_tasks_and_comes_back(
    scene: Scene, hosts: tuple[Host, Host], rounds: Rounds
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        far, near = hosts
        ways = [await stack.enter_async_context(way(scene.url, host)) for host in hosts]
        cut_off = scene.start("--concurrency", "10", url=ways[0], prefix=far.prefix)
        scene.start("--concurrency", "10", url=ways[1], prefix=near.prefix)
        await scene.alive(2)
        for _ in rounds(1):
            await scene.insert(30)
            await scene.insert(15, ["say:before", "step:one", "work:0.5", "ask:leave", "step:two"])
            await scene.holds(cut_off, 3)
            far.line("down")
            await scene.given_up(cut_off)
            await scene.further(5)
            far.line("up")
            await scene.alive(2)
        await scene.settle()
    assert scene.logged("lease.lost") + scene.logged("outcome.fenced"), (
        "what the far host still said was dropped"
    )


@contextlib.asynccontextmanager
async def way(url: str, host: Host) -> AsyncIterator[str]:
    """Lead from a host to the database: a socket at the near end of its line, and a hop to the server."""
    server = conninfo_to_dict(url)

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", int(server["port"]))
        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))

    listening = listen_in(f"{host.namespace.rpartition('-')[0]}-db", host.gate)
    async with await asyncio.start_server(carry, sock=listening):
        port = listening.getsockname()[1]
        yield make_conninfo(**{**server, "host": host.gate, "port": port, "sslmode": "disable"})


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry bytes one way until one end closes."""
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


def make_host(stack: contextlib.ExitStack, name: str, middle: str, network: str) -> Host:
    """Make a namespace with a line to the middle; both end with the stack."""
    stack.enter_context(namespace(name))
    gate = f"gate{network.rpartition('.')[2]}"
    ip("-n", middle, "link", "add", gate, "type", "veth", "peer", "name", "line", "netns", name)
    for where, device, address in ((middle, gate, f"{network}.1"), (name, "line", f"{network}.2")):
        ip("-n", where, "address", "add", f"{address}/30", "dev", device)
        ip("-n", where, "link", "set", device, "up")
    return Host(name, f"{network}.1")


@contextlib.contextmanager
def namespace(name: str) -> Iterator[None]:
    """A network namespace, its devices gone with it."""
    ip("netns", "add", name)
    try:
        ip("-n", name, "link", "set", "lo", "up")
        yield
    finally:
        ip("netns", "delete", name)


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


def listen_in(name: str, address: str) -> socket.socket:
    """Return a socket that listens in another namespace; a socket stays where it was made."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        command = ["ip", "netns", "exec", name, sys.executable, "-c", LISTEN, address, str(theirs.fileno())]
        subprocess.run(command, check=True, pass_fds=(theirs.fileno(),))
        _, (descriptor,), _, _ = socket.recv_fds(ours, 1, 1)
    return socket.socket(fileno=descriptor)
