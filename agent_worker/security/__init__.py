"""Who may come in: API keys, tokens and limits. Whoever is let in is a `Caller`; what it may see, PostgreSQL decides."""
