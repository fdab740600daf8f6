"""Worker pipelines: an agent written down as a document instead of code.

`reading` turns a folder or a request body into nodes with lines, and those into the dataclasses of `definition`;
`types` and `prompts` hold the two small languages inside; `checks` looks at the whole; `validation` is the front door.

`runner` runs a definition: `blocks` does what each kind of step says, `toolbox` has what models may call, `workers` runs a
worker inside another one's run, `stream` says what happens, and `legs` tells it to clients of the protocol.
"""
