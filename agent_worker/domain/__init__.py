"""Pure rules: what a task is, which states it may take, and what follows an attempt.

Nothing in this room opens a connection, reads a clock or rolls a die; time, randomness and ids come in
as arguments. It imports the standard library and pydantic only.
"""
