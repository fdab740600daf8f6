"""`/api/agents`: run stored definitions and read what they say, as the worker protocol's HTTP has it.

A run is a task of the kind `pipeline`, inserted with the caller's rights; what it says are the task's events, translated
by `agent_worker.pipelines.telling.legs`. So every gateway can show every run, from any place on, and holds nothing itself.
"""
