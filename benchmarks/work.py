"""The worker process of a contestant that is a Python library: `python -m benchmarks.work NAME`.

What to do stands in the environment (see `tally`), so that contestants in other languages read the same.
"""

from __future__ import annotations

import importlib
import sys


def main() -> None:
    """Run the module's `work()` until the process is killed."""
    importlib.import_module(f"benchmarks.contestants.{sys.argv[1]}").work()


if __name__ == "__main__":
    main()
