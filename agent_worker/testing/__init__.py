"""What tests of processors and clients need, for this package's tests and for yours.

- `context.FakeContext`: run a processor without a database.
- `openai_server.ScriptedOpenAI`: an OpenAI-compatible server that says what the test wrote down.
"""
