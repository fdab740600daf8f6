"""Worker pipelines: an agent written down as a document instead of code.

`reading` turns a folder or a request body into nodes with lines, and those into the dataclasses of `definition`;
`types` and `prompts` hold the two small languages inside; `checks` looks at the whole; `validation` is the front door, and
`library` finds what is stored. `running` runs a definition, `telling` says to clients and people how that went.
"""
