"""`python -m agent_worker.cli`: how worker processes are started, whatever the program is called or lies."""

from agent_worker.cli import main

main()
