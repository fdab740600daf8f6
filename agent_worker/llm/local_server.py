"""The child process that serves the local model: `python -m agent_worker.llm.local_server`.

It detaches itself from the process that started it, because it serves every worker of the machine, and ends when its
last user is gone: see `local_files.py` for how it knows. Ctrl-C in a worker's terminal does not reach it, so that a
draining worker keeps its model.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import secrets
import time
from pathlib import Path
from typing import NoReturn

from pydantic import SecretStr

from agent_worker.llm.local_files import Endpoint, LocalFiles, open_lock, try_lock

MODEL_NAME = "smollm2-135m"

_SLOTS = 4
"""Answers at the same time; more requests wait their turn."""
_TOKENS_PER_SLOT = 4096
"""Of prompt and answer together. Each slot has its own, for in a shared context one long conversation fails the others.
530 MB in all; 8-bit context would save 180 MB, and reads a long prompt up to three times as slowly.
"""
_MOST_THREADS = 8
_ONLY_WARNINGS = 1


def main() -> None:
    """Detach, then serve until nobody uses the model."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--weights", required=True, help="path of the GGUF")
    parser.add_argument("--ready-fd", type=int, required=True, help="gets one byte when requests are welcome")
    parser.add_argument("--linger-s", type=float, required=True, help="seconds without a user before the end")
    args = parser.parse_args()
    if os.fork() > 0:
        os._exit(0)  # the starter waits for this process only; nobody has to reap the other one
    serve(LocalFiles(args.directory), weights=args.weights, ready_fd=args.ready_fd, linger_s=args.linger_s)


def serve(files: LocalFiles, *, weights: str, ready_fd: int, linger_s: float) -> NoReturn:
    """Load the model, publish where it listens, and end the process once it went unused for `linger_s` seconds."""
    with open_lock(files.server_lock) as server_lock, open_lock(files.users_lock) as users_lock:
        fcntl.flock(server_lock, fcntl.LOCK_EX)  # waits for a server that is on its way out
        api_key = secrets.token_urlsafe()
        _server, base_url = _load(weights, api_key)  # the name keeps it alive
        files.publish(Endpoint(base_url, SecretStr(api_key), os.getpid()))
        os.write(ready_fd, b"1")
        os.close(ready_fd)
        _wait_unused(users_lock, linger_s)
        files.withdraw()
        os._exit(0)  # without llama.cpp's destructors; the kernel drops both locks


def _wait_unused(users_lock: int, linger_s: float) -> None:
    """Return holding the users' lock exclusively: whoever comes now waits until this process is gone."""
    last_used = time.monotonic()
    while True:
        time.sleep(min(0.25, linger_s / 2))
        if not try_lock(users_lock, fcntl.LOCK_EX):
            last_used = time.monotonic()
        elif time.monotonic() - last_used >= linger_s:
            return
        else:
            fcntl.flock(users_lock, fcntl.LOCK_UN)


def _load(weights: str, api_key: str) -> tuple[object, str]:
    """Start llama.cpp's server on a free port of the loopback interface.

    The key keeps web pages and other users of the machine from talking to it.
    """
    # By default OpenMP's threads spin while they wait for each other. With one busy neighbour on two cores, 60 tokens
    # took 8 to 16 s that way. So one thread makes tokens (0.8 s, with or without the neighbour), and the several that
    # read the prompt sleep while they wait (1,000 tokens: 4 s, alone 7 s).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import xllamacpp  # noqa: PLC0415 - 100 MB, wanted in this process only

    params = xllamacpp.CommonParams()
    params.model.path = weights
    params.model_alias = {MODEL_NAME}
    params.n_parallel = _SLOTS
    params.n_ctx = _SLOTS * _TOKENS_PER_SLOT
    params.cpuparams.n_threads = 1
    params.cpuparams_batch.n_threads = min(os.cpu_count() or 1, _MOST_THREADS)
    params.use_jinja = True
    params.api_keys = [api_key]
    params.ui = False
    params.endpoint_slots = False
    params.cache_ram_mib = 0
    params.verbosity = _ONLY_WARNINGS
    server = xllamacpp.Server(params)
    return server, f"{server.listening_address}/v1"


if __name__ == "__main__":
    main()
