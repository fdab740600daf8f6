"""One file per task kind: the thin joint between a task and one of the rooms below.

A module whose name begins with an underscore is shared by its neighbours and holds no processor. Processors get
everything else, models included, from their `TaskContext`.
"""
