#!/usr/bin/env python3
"""Send a task through a live worker: the same as `agent-worker check`, with the same options and exit codes."""

import sys

from agent_worker.cli import main

if __name__ == "__main__":
    sys.argv.insert(1, "check")
    main()
