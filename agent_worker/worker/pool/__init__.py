"""Processes for heavy work: an attempt has one to itself and can be killed.

`pool` and `process` are the worker's side, `child` and `remote` the inside of a process, `wire` what they say to each
other, and `answers` does for a processor what it asks of its context.
"""
