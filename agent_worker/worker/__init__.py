"""The engine: claims tasks, runs them, records what became of them, and keeps the fleet in order.

It knows no processor and no SQL. A task's way: `Claimer` takes it, `Executor` runs it with a `LiveContext`, and
`Recorder` writes what it says and how it ends. `Heartbeat` keeps the worker's lease; `Rescuer`, `Scheduler` and
`Pruner` do for the fleet what any worker may do. `Worker` owns them all.
"""
