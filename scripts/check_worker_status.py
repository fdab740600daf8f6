#!/usr/bin/env python3
"""Say how the fleet stands: the same as `agent-worker status`, with the same options and exit codes."""

import sys

from agent_worker.cli import main

if __name__ == "__main__":
    sys.argv.insert(1, "status")
    main()
