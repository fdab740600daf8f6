"""Chat models: one file per provider, all behind the port in `agent_worker.domain.chat`.

`Models` in `models.py` makes them from their ids. Nothing heavy (openai, langchain, xllamacpp) is imported before the
first request that needs it, and nothing here reads settings: the composition root passes them in.
"""
