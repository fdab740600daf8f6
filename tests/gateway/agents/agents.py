"""Small agents that answer, ask, wait and fail without any model but the echo."""

from __future__ import annotations

from typing import Any

ECHO = """
input:
  TOPIC: {type: string}
  TIMES: {type: integer, optional: true, default: 1}
variables:
  ANSWER: {type: string}
steps:
  Open:
    block: start-thread
    thread: talk
    model: echo/echo
    system: system
  Ask:
    block: add-message
    thread: talk
    role: user
    prompt: ask
    input: [TOPIC]
  Answer:
    block: next-message
    thread: talk
    output: ANSWER
output: ANSWER
"""

TOOL = """
input:
  CITY: {type: string}
tools:
  weather:
    description: Tells the weather
    parameters:
      city: {type: string}
variables:
  WEATHER: {type: unknown}
  AGAIN: {type: unknown}
steps:
  Look:
    block: tool-call
    tool: weather
    input: {city: CITY}
    output: WEATHER
  Look again:
    block: tool-call
    tool: weather
    input: {city: WEATHER}
    output: AGAIN
output: AGAIN
"""

APPROVAL = """
input:
  PLAN: {type: string}
variables:
  OK: {type: boolean}
steps:
  Approve:
    block: human-approval
    prompt: plan
    input: [PLAN]
    approved: OK
output: OK
"""

WAIT = """
input:
  FOR: {type: string}
steps:
  Rest:
    block: wait
    for: FOR
"""

TALK = """
triggers:
  user-message:
    input:
      USER_MESSAGE: {type: string}
agent:
  model: echo/echo
  system: system
handlers:
  user-message:
    Add:
      block: add-message
      role: user
      prompt: hello
      input: [USER_MESSAGE]
    Respond:
      block: next-message
"""

PROMPTS = {
    "system": "You help.",
    "ask": "{{TOPIC}}",
    "plan": "May we {{PLAN}}?",
    "hello": "{{USER_MESSAGE}}",
}
USED = {
    "echo": (ECHO, ("system", "ask")),
    "tool": (TOOL, ()),
    "approval": (APPROVAL, ("plan",)),
    "wait": (WAIT, ()),
    "talk": (TALK, ("system", "hello")),
}


def wire(slug: str, **settings: Any) -> dict[str, Any]:
    """The agent of this slug as clients send it."""
    protocol, prompts = USED[slug]
    form = "interactive" if slug == "talk" else "worker"
    return {
        "settings": {"slug": slug, "name": slug.title(), "format": form, **settings},
        "protocol": protocol,
        "prompts": [{"name": name, "content": PROMPTS[name]} for name in prompts],
        "references": [],
    }
