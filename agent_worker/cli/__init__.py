"""The command line, `agent-worker`.

One command a file, imported when it is called: `agent-worker --help` loads nothing but typer. Data goes to standard
output, everything else to standard error. Exit codes:

    0    done
    1    a task failed, or no worker answered
    2    wrong usage or configuration
    3    the database: nobody answers, or its schema does not fit
    130  Ctrl-C
"""

from agent_worker.cli.program import main

__all__ = ["main"]
