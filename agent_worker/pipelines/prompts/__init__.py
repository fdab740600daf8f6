"""Prompts: variables, includes and conditionals in a text."""
