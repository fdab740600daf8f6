"""Every rule of a definition: what is wrong is found in one pass, with path and line."""

from __future__ import annotations

import pytest

from agent_worker.domain.errors import InvalidPayload
from agent_worker.pipelines.definition.values import Constant, Ref
from agent_worker.pipelines.problems import MOST_PROBLEMS
from agent_worker.pipelines.reading.source import ReferenceText, Source
from agent_worker.pipelines.validation import load, validate
from tests.pipelines.sources import (
    INTERACTIVE,
    PROMPTS,
    WORKER,
    definition,
    errors,
    shown,
    source,
    warnings,
    worker,
)

CHAT = {**PROMPTS, "hello": "{{USER_MESSAGE}}"}
TOOLS = """
tools:
  find:
    description: Find
    parameters:
      query: {type: string}
      limit: {type: integer, optional: true}
"""


def test_a_plain_worker_is_valid_without_a_warning() -> None:
    assert warnings(WORKER) == []


def test_a_plain_interactive_agent_is_valid_without_a_warning() -> None:
    assert warnings(INTERACTIVE, prompts={k: CHAT[k] for k in ("system", "hello")}, form="interactive") == []


def test_all_mistakes_are_told_in_one_pass_with_their_lines() -> None:
    protocol = (
        "input:\n"
        "  topic: {type: string}\n"
        "steps:\n"
        "  Open:\n"
        "    block: start-thread\n"
        "    modle: echo/echo\n"
        "    system: sistem\n"
        "  Call:\n"
        "    block: tool-cal\n"
        "  Answer:\n"
        "    block: next-message\n"
        "    thread: other\n"
        "    output: ANSWER\n"
    )
    found = validate(source(protocol)).report.errors
    assert [(each.line, shown(each)) for each in found] == [
        (2, "input.topic: a name here is UPPER_SNAKE; 'topic' is not"),
        (4, "steps.Open: needs the field 'model'"),
        (6, "steps.Open.modle: there is no field 'modle' here; did you mean 'model'?"),
        (7, "steps.Open.system: there is no prompt 'sistem'; did you mean 'system'?"),
        (9, "steps.Call.block: there is no kind of block 'tool-cal'; did you mean 'tool-call'?"),
        (12, "steps.Answer.thread: the thread 'other' is never started; a step with start-thread does that"),
        (13, "steps.Answer.output: there is no variable 'ANSWER'"),
    ]


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        ("varables: {}", "varables: there is no field 'varables' here; did you mean 'variables'?"),
        ("dialect: '3'", "dialect: must be one of 2.3, 2.11, here it is '3'"),
        ("limits: {maxCost: -1}", "limits.maxCost: must be a number from 0.0001 to 1,000,000, here it is the number -1"),
        ("limits: {maxTokens: 1.5}", "limits.maxTokens: must be a whole number, 1 and more, here it is the number 1.5"),
        ("limits: {timeout: 5}", ("limits.timeout: must be a duration, here it is the number 5; "
                                 "write a number and a unit, such as 30s, 5m or 1h30m")),
        ("limits: {maxCalls: 5}", "limits.maxCalls: there is no field 'maxCalls' here; did you mean 'maxLlmCalls'?"),
        ("tools: {find: {}}", "tools.find: needs the field 'description'"),
        ("tools: {octavus_x: {description: x}}", ("tools.octavus_x: names that begin with octavus_ and agent_worker_ "
                                                 "belong to built-in tools")),
        ("tools: {a__b: {description: x}}", "tools.a__b: __ in a name means a tool of an MCP server"),
        ("tools: {'a b': {description: x}}",
         "tools.a b: 'a b' is no name for a tool: a letter, then up to 63 letters, digits, - and _"),
        ("tools: [find]", "tools: must be a mapping, here it is a list"),
        ("tools: {find: {description: x, display: loud}}",
         "tools.find.display: must be one of hidden, name, description, stream, title, here it is 'loud'"),
        ("skills: {s: {execution: moon}}", "skills.s.execution: must be one of sandbox, device, here it is 'moon'"),
        ("mcpServers: {m: {description: x}}", "mcpServers.m: needs the field 'source'"),
        ("mcpServers: {m: {description: x, source: device, execution: device}}",
         "mcpServers.m.execution: is for servers with source: remote alone"),
        ("workers: {Other: {description: x}}", "workers.Other: 'Other' is no slug: lower-case letters, digits, dashes"),
        ("resources: {A: {type: string}}", "resources.A: 'A' is declared under variables too"),
        ("agent: {model: echo/echo}", "agent: the format is worker, which has no agent"),
        ("'on': 1", "on: there is no field 'on' here"),
    ],
)  # fmt: skip
def test_sections_are_checked(sections: str, expected: str) -> None:
    assert any(each.startswith(expected) for each in errors(worker(sections=f"{sections}\n")))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ("model: gpt-4o", "model: a model is provider/model, or the name of an input; 'gpt-4o' is neither"),
        ("model: MODEL", "model: there is no input or variable 'MODEL'; there is A, B, KIND, LIST, TOPIC"),
        ("temperature: 2.5", "temperature: must be a number from 0 to 2, here it is the number 2.5"),
        ("temperature: warm", "temperature: must be a number from 0 to 2, here it is 'warm'"),
        ("temperature: TEMPO", "temperature: there is no input or variable 'TEMPO'; there is A, B, KIND, LIST, TOPIC"),
        ("thinking: huge", "thinking: must be one of low, medium, high, max, off, here it is 'huge'"),
        ("cache: 'on'", "cache: must be one of auto, extended, off, here it is 'on'"),
        ("maxSteps: 0", "maxSteps: must be a whole number, 1 to 1,000, here it is the number 0"),
        ("sandboxTimeout: 3600001", ("sandboxTimeout: must be milliseconds from 1 to 3,600,000, or a duration up to 1h; "
                                    "here it is 3600001")),
        ("sandboxTimeout: 2h", ("sandboxTimeout: must be milliseconds from 1 to 3,600,000, or a duration up to 1h; "
                               "here it is 2h")),
        ("tools: [search]", "tools[0]: there is no tool 'search'"),
        ("tools: [octavus_web_search]",
         "tools[0]: 'octavus_web_search' is built in; switch it on with its own field, such as webSearch"),
        ("tools: [figma__get]", "tools[0]: there is no MCP server 'figma'"),
        ("skills: [x]", "skills[0]: there is no skill 'x'"),
        ("references: [x]", "references[0]: there is no reference 'x'"),
        ("input: [NOTHING]", "input[0]: there is no input or variable 'NOTHING'; there is A, B, KIND, LIST, TOPIC"),
        ("input: {x: TOPIC}", "input.x: a name in a prompt is UPPER_SNAKE; 'x' is not"),
        ("anthropic: {}", 'anthropic: "anthropic" options need a model of anthropic; the provider here is "echo"'),
        ("anthropic: {tools: {shell: {}}}",
         "anthropic.tools.shell: anthropic has no such tool; there is code-execution, web-search"),
        ("anthropic: {skills: {pdf: {}}}", "anthropic.skills.pdf: needs the field 'type'"),
    ],
)  # fmt: skip
def test_threads_are_checked(fields: str, expected: str) -> None:
    model = "" if fields.startswith("model") else "model: echo/echo"
    steps = f"Two:\n  block: start-thread\n  system: system\n  {model}\n  {fields}\n"
    assert f"steps.Two.{expected}" in errors(worker(steps=steps))


def test_what_threads_may_say_is_kept() -> None:
    steps = """
    Two:
      block: start-thread
      thread: two
      model: MODEL
      backupModel: openai/gpt-4o
      system: system
      input: [TOPIC, KIND: B]
      temperature: off
      thinking: TOPIC
      cache: off
      maxSteps: 5
      sandboxTimeout: 1800000
    """
    protocol = worker(steps=steps).replace("input:\n", "input:\n  MODEL: {type: string}\n", 1)
    block = definition(protocol).steps[1]
    assert block.kind == "start-thread"
    config = block.config
    assert (config.model, config.thinking) == (Ref("MODEL"), Ref("TOPIC"))
    assert (config.temperature, config.cache, config.max_steps) == ("off", "off", 5)
    assert config.input == {"TOPIC": "TOPIC", "KIND": "B"}
    assert (config.sandbox_timeout_s, definition(WORKER).steps[0].config.sandbox_timeout_s) == (1800, 300)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ("{block: add-message, thread: talk, prompt: ask}", ": needs the field 'role'"),
        ("{block: add-message, thread: talk, role: robot, prompt: ask}",
         ".role: must be one of user, assistant, system, here it is 'robot'"),
        ("{block: add-message, thread: talk, role: user}", ": needs the field 'prompt'"),
        ("{block: add-message, thread: talk, role: user, prompt: ask, files: [PICTURE]}",
         ".files[0]: there is no input or variable 'PICTURE'; there is A, B, KIND, LIST, TOPIC"),
        ("{block: next-message, thread: talk, output: TOPIC}",
         ".output: TOPIC cannot be written; declare a variable for it"),
        ("{block: next-message, thread: talk, responseType: Answer}", ".responseType: there is no type 'Answer'"),
        ("{block: next-message, thread: talk, responseType: string}", ".responseType: there is no type 'string'"),
        ("{block: tool-call, tool: find, input: {query: TOPIC, limitt: 5}}",
         ".input.limitt: there is no parameter of find 'limitt'; did you mean 'limit'?"),
        ("{block: tool-call, tool: find, input: {}}", ".input: find needs 'query'"),
        ("{block: tool-call, tool: find, input: {query: x, limit: many}}",
         ".input.limit: must be a whole number, here it is text"),
        ("{block: tool-call, input: {}}", ": needs the field 'tool'"),
        ("{block: set-resource, resource: X, value: A}", ".resource: there is no resource 'X'"),
        ("{block: run-worker, worker: other}", ".worker: there is no worker 'other'"),
        ("{block: generate-image, prompt: A}", ": needs the field 'imageModel'"),
        ("{block: serialize-thread, thread: talk, format: xml}",
         ".format: must be one of markdown, json, here it is 'xml'"),
        ("{block: if, then: {}}", ": needs the field 'condition'"),
        ("{block: if, condition: TOPIC is x, then: {}}",
         '.condition: this is no condition; write NAME, !NAME, NAME == "text" or NAME != "text"'),
        ("{block: if, condition: TOPICS, then: {}}",
         ".condition: there is no input or variable 'TOPICS'; did you mean 'TOPIC'?"),
        ("{block: if, condition: 'KIND == \"z\"', then: {}}", ".condition: KIND is never 'z', only x, y"),
        ("{block: branch, value: KIND}", ": needs the field 'cases'"),
        ("{block: for-each, in: TOPIC, as: ITEM, steps: {}}", ".in: TOPIC is 'string', not a list"),
        ("{block: for-each, in: LIST, as: TOPIC, steps: {}}", ".as: TOPIC has a meaning already; take another name"),
        ("{block: for-each, in: LIST, as: ITEM, output: A, steps: {}}",
         ": needs the field 'collect', the variable that holds an item's result, because no step has an output"),
        ("{block: for-each, in: LIST, as: ITEM, tolerateFailures: 120%, steps: {}}",
         ".tolerateFailures: must be 0% to 100%, or a number of items"),
        ("{block: parallel, branches: {One: {}}}", ".branches: there are two branches or more, each with its steps"),
        ("{block: repeat, steps: {}}", ": needs the field 'until', or maxIterations"),
        ("{block: set-variable, value: 1}", ": needs the field 'variable'"),
        ("{block: set-variable, variable: A}", ": needs the field 'value'"),
        ("{block: wait}", ": needs either 'for', a duration, or 'until', a time"),
        ("{block: wait, for: 5}", (".for: must be a duration, here it is the number 5; "
                                  "write a number and a unit, such as 30s, 5m or 1h30m")),
        ("{block: wait, until: tomorrow}", ".until: must be a time such as 2026-01-31T12:00Z, or a variable"),
        ("{block: wait, until: '2026-01-31T12:00'}", ".until: must say its time zone, such as Z or +01:00"),
        ("{block: human-approval, prompt: ask, onTimeout: shrug}",
         ".onTimeout: must be one of fail, approve, reject, here it is 'shrug'"),
        ("{block: human-approval, prompt: ask, form: {approved: {type: boolean}}}",
         ".form.approved: every answer says whether it approves; take another name"),
        ("{block: wait, for: 5s, retry: {attempts: 0}}",
         ".retry.attempts: must be a whole number, 1 to 20, here it is the number 0"),
        ("{block: wait, for: 5s, retry: {errors: [tool_eror]}}",
         ".retry.errors[0]: there is no type of error 'tool_eror'; did you mean 'tool_error'?"),
        ("{block: wait, for: 5s, onError: explode}",
         ".onError: must be fail, continue, goto: STEP or default: VALUE; here it is 'explode'"),
        ("{block: wait, for: 5s, onError: {goto: Nowhere}}",
         ".onError.goto: there is no step of this list 'Nowhere'; there is Open, Two"),
        ("{block: wait, for: 5s, onError: goto Open}",
         ".onError.goto: 'Open' does not come after this step; use retry or repeat to do things again"),
        ("{block: wait, for: 5s, onError: {default: 1}}",
         ".onError.default: the step has no output that could get the default"),
        ("{block: wait, for: 5s, if: A and B}",
         '.if: this is no condition; write NAME, !NAME, NAME == "text" or NAME != "text"'),
        ("{thread: talk}", ": needs the field 'block'"),
        ("5", ": must be a mapping, here it is the number 5"),
    ],
)  # fmt: skip
def test_blocks_are_checked(step: str, expected: str) -> None:
    found = errors(worker(sections=TOOLS, steps=f"Two: {step}\n"))
    assert f"steps.Two{expected}" in found


def test_our_blocks_are_read_with_all_they_say() -> None:
    steps = """
    Two:
      block: for-each
      in: LIST
      as: ITEM
      concurrency: 3
      tolerateFailures: 20%
      output: A
      steps:
        Note:
          block: set-variable
          variable: B
          value: ITEM
          timeout: 1m30s
          retry: {attempts: 5, delay: 500ms, backoff: 3, max: 1h, errors: [tool_error]}
          onError: {default: [1, {x: null}]}
    Three:
      block: wait
      for: 5m
      if: KIND != "x"
      onError: goto Four
    Four:
      block: human-approval
      prompt: ask
      input: [TOPIC]
      form: {why: {type: string, optional: true}}
      timeout: 3d
      onTimeout: reject
      approved: A
    """
    _, each, waiting, approval = definition(worker(steps=steps)).steps
    assert each.kind == "for-each"
    assert (each.items, each.item, each.concurrency, each.collect, each.output) == (
        "LIST",
        "ITEM",
        3,
        "B",
        "A",
    )
    assert each.tolerates(1, 5)
    assert not each.tolerates(2, 5)
    (note,) = each.steps
    assert note.kind == "set-variable"
    assert note.key == "steps.Two.steps.Note"
    assert note.value == Ref("ITEM")
    assert note.timeout_s == 90
    assert note.retry is not None
    assert [note.retry.wait_s(attempt) for attempt in (1, 2, 10)] == [0.5, 1.5, 3600]
    assert note.on_error.value == [1, {"x": None}]
    assert waiting.kind == "wait"
    assert waiting.seconds == 300
    assert waiting.on_error.step == "Four"
    assert approval.kind == "human-approval"
    assert (approval.wait_s, approval.timeout_s, approval.on_timeout) == (259_200, None, "reject")


def test_arguments_that_equal_a_name_are_references_and_all_else_is_itself() -> None:
    steps = "Call:\n  block: tool-call\n  tool: find\n  input: {query: TOPIC, limit: 5}\n"
    call = definition(worker(sections=TOOLS, steps=steps)).steps[1]
    assert call.kind == "tool-call"
    assert call.input == {"query": Ref("TOPIC"), "limit": Constant(5)}


# Order and conflicts

ASK = "{block: add-message, thread: talk, role: user, prompt: ask, input: [TOPIC]}"
NEXT = "{block: next-message, thread: %s, output: A}"
START = "{block: start-thread, thread: %s, model: echo/echo, system: system}"


def test_a_thread_that_is_started_too_late_is_an_error() -> None:
    steps = f"Two: {NEXT % 'late'}\nThree: {START % 'late'}\n"
    assert errors(worker(steps=steps)) == [
        "steps.Two.thread: the thread 'late' is not started before this step"
    ]


def test_a_thread_that_one_branch_starts_may_be_used_after_it() -> None:
    steps = f"Two: {{block: if, condition: TOPIC, then: {{In: {START % 'x'}}}}}\nThree: {NEXT % 'x'}\n"
    assert errors(worker(steps=steps)) == []


def test_a_thread_that_a_loop_starts_ends_with_it() -> None:
    loop = f"{{block: for-each, in: LIST, as: ITEM, steps: {{In: {START % 'x'}}}}}"
    assert errors(worker(steps=f"Two: {loop}\nThree: {NEXT % 'x'}\n")) == [
        "steps.Three.thread: the thread 'x' is not started before this step"
    ]


def test_branches_that_run_side_by_side_share_nothing() -> None:
    steps = f"""
    Two:
      block: parallel
      branches:
        Left: {{Say: {NEXT % "talk"}}}
        Right: {{Say: {NEXT % "talk"}}}
    """
    assert errors(worker(steps=steps)) == [
        "steps.Two.branches.Right: A is written by the branch 'Left' too",
        "steps.Two.branches.Right: the thread 'talk' is used by 'Left' too",
    ]


def test_items_of_a_loop_have_names_only_inside_it() -> None:
    steps = """
    Two: {block: for-each, in: LIST, as: ITEM, steps: {In: {block: set-variable, variable: A, value: ITEM}}}
    Three: {block: if, condition: ITEM, then: {}}
    """
    assert errors(worker(steps=steps)) == [
        "steps.Three.condition: there is no input or variable 'ITEM'; there is A, B, KIND, LIST, TOPIC"
    ]


# Warnings


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ("Two: {block: set-variable, variable: A, value: B}",
         "steps.Two.value: no step before this one gives B a value"),
        ("Two: {block: set-variable, variable: A, value: TOPC}",
         "steps.Two.value: this is the text 'TOPC', for no variable has that name; did you mean TOPIC?"),
        ("Two: {block: branch, value: KIND, cases: {x: {}, z: {}}}",
         "steps.Two.cases.z: the case never runs: KIND is one of x, y"),
        ("Two: {block: branch, value: KIND, cases: {x: {}, y: {}}, default: {In: {block: wait, for: 1s}}}",
         "steps.Two.default: the default never runs: there is a case for each value"),
        ("Two: {block: wait, for: 1s, display: title}", "steps.Two.display: the display is title, and there is no title"),
        ("Two: {block: generate-speech, text: TOPIC, speechModel: openai/tts}",
         "steps.Two.block: generate-speech is read, and fails when it runs (unsupported): no provider for it is built in"),
        ("Two: {block: generate-video, prompt: TOPIC, videoModel: google/veo, durationSeconds: 4}",
         "steps.Two.block: generate-video is read, and fails when it runs (unsupported): no provider for it is built in"),
        ("Two: {block: add-message, thread: talk, role: user, prompt: ask}",
         "steps.Two.prompt: {{TOPIC}} in prompts/ask.md:1 is not in the input here, so it shows as nothing"),
        ("Two: {block: human-approval, prompt: ask, onTimeout: reject}",
         "steps.Two.onTimeout: without timeout, the answer may take for ever"),
        ("Two: {block: start-thread, model: echo/echo, system: system, webSearch: true}",
         "steps.Two.webSearch: webSearch is read, and fails when it runs (unsupported)"),
        ("Two: {block: start-thread, model: anthropic/x, system: system, anthropic: {}}",
         "steps.Two.anthropic: anthropic is read, and fails when it runs (unsupported)"),
        ("Two: {block: start-thread, model: echo/echo, system: system, videoModel: google/veo}",
         "steps.Two.videoModel: videoModel is read, and changes nothing here"),
        ("Two: {block: start-thread, model: echo/echo, system: system, speed: fast}",
         "steps.Two.speed: speed is read, and changes nothing here"),
        ("Two: {block: start-thread, model: echo/echo, system: system, cache: extended}",
         "steps.Two.cache: cache is read, and changes nothing here"),
        ("", "input.TOPIC: no step uses this input"),
        ("", "variables.A: no step uses this variable"),
        ("", "prompts/ask.md: no step uses this prompt"),
    ],
)  # fmt: skip
def test_odd_things_are_warnings(steps: str, expected: str) -> None:
    assert expected in warnings(worker(steps=f"{steps}\n"))


def test_unused_declarations_are_warnings() -> None:
    sections = """
    tools: {find: {description: x}}
    skills: {qr: {}}
    workers: {other: {description: x}}
    mcpServers: {figma: {description: x, source: remote}}
    types: {T: {a: {type: string}}}
    resources: {R: {default: ''}}
    """
    found = warnings(worker(sections=sections), references={"guide": ReferenceText("x", "y")})
    for expected in (
        "tools.find: nothing uses this tool",
        "skills.qr: nothing uses this skill",
        "workers.other: nothing uses this worker",
        "mcpServers.figma: nothing uses this MCP server",
        "types.T: nothing uses this type",
        "resources: resources are out of use in later versions; variables replace them",
        "references/guide.md: no thread lists this reference",
    ):
        assert expected in found


# Prompts, settings, references


def test_mistakes_in_prompts_name_their_file_and_line() -> None:
    prompts = {**PROMPTS, "ask": "{{TOPIC}}\n{{#if X}}\n{{/if}}\n{{@nowhere.md}}", "tone": "{{#if A}}"}
    found = validate(source(WORKER, prompts=prompts)).report.errors
    assert [(each.file, each.line, each.message) for each in found] == [
        (
            "prompts/ask.md",
            2,
            "the condition asks for X, which is not in the input, used by steps.Ask.prompt",
        ),
        ("prompts/ask.md", 4, "there is no prompt 'nowhere'; there is ask, system, tone"),
        ("prompts/tone.md", 1, "{{#if}} has no {{/if}}"),
    ]


def test_a_condition_in_a_prompt_must_be_possible() -> None:
    steps = "Two: {block: add-message, thread: talk, role: user, prompt: ask, input: [K: KIND]}\n"
    prompts = {**PROMPTS, "ask": '{{#if K == "z"}}{{/if}}'}
    assert errors(worker(steps=steps), prompts=prompts) == [
        "prompts/ask.md: K is never 'z', only x, y, used by steps.Two.prompt"
    ]


def test_settings_are_checked() -> None:
    settings = {"slug": "A b", "format": "robot", "colour": "red", "description": 5}
    found = validate(Source(settings, WORKER, PROMPTS)).report.errors
    assert {shown(each) for each in found} == {
        "slug: a slug is lower-case letters, digits and dashes; 'A b' is not",
        "name: is missing",
        "description: must be text",
        "format: must be worker or interactive",
        "colour: there is no field 'colour' here; there is description, format, name, slug",
    }
    assert {each.file for each in found} == {"settings.json"}


def test_references_need_a_name_and_a_description() -> None:
    references = {"Guide": ReferenceText(None, "x")}
    assert errors(WORKER, references=references) == [
        "references/Guide.md: a reference is called by lower-case letters, digits and dashes; 'Guide' is not",
        "description: needs a description, by which a model chooses it",
    ]


def test_each_format_wants_its_own_sections() -> None:
    found = errors(WORKER, form="interactive")
    for name in ("triggers", "handlers", "agent"):
        assert f"protocol.yaml: needs the field '{name}', because the format is interactive" in found
    assert "steps: the format is interactive, which has no steps" in found
    found = errors(INTERACTIVE, prompts=CHAT)
    assert "protocol.yaml: needs the field 'steps', because the format is worker" in found
    assert "agent: the format is worker, which has no agent" in found


EVERYTHING = """
input:
  HOTEL: {type: string, description: Its name.}
  WARMTH: {type: number, optional: true}
resources:
  STAY: {description: No type is needed, default: ''}
  RULES: {type: unknown, readonly: true, default: {pets: false}}
variables:
  LOG: {type: string}
  BOOKING: {type: unknown}
types:
  Offer:
    room: {type: string, enum: [single, double]}
    extras: {type: array, items: {type: string}, optional: true}
tools:
  book:
    description: Book a room
    display: title
    title: Booking
    parameters: {room: {type: string}, offer: {type: Offer, optional: true}}
skills:
  invoice: {display: description, execution: device}
onDemandSkills: {display: name}
mcpServers:
  maps: {description: Maps, source: remote, connection: eager, execution: sandbox}
workers:
  night-audit: {description: Closes the day, display: name, tools: {post: book}}
agent:
  model: anthropic/claude
  backupModel: openai/gpt
  system: desk
  input: [HOTEL]
  tools: [book, maps__route]
  skills: [invoice]
  references: [house-rules]
  mcpServers: [maps]
  workers: [night-audit]
  temperature: WARMTH
  thinking: low
  cache: extended
  agentic: true
  maxSteps: 4
  webSearch: true
  contextManagement: {summarizerWorker: night-audit, recentPercent: 0.5}
  anthropic: {tools: {web-search: {}}, skills: {xlsx: {type: anthropic, version: 3}}}
triggers:
  guest-writes:
    input: {WORDS: {type: string}, PICTURES: {type: 'file[]', optional: true}}
  checkout: {description: The guest leaves}
handlers:
  guest-writes:
    Hear:
      block: add-message
      role: user
      prompt: words
      input: {SAID: WORDS}
      files: [PICTURES]
      uiContent: WORDS
    Reply: {block: next-message}
  checkout:
    Write down: {block: serialize-thread, format: json, output: LOG}
    Keep: {block: set-resource, resource: STAY, value: LOG}
    Book: {block: tool-call, tool: book, input: {room: single}, output: BOOKING}
    Close: {block: run-worker, worker: night-audit, input: {LOG: LOG, DAY: today}, output: BOOKING}
    Note: {block: add-message, role: user, prompt: words, input: [SAID: BOOKING], visible: false}
    Goodbye: {block: next-message, independent: true}
"""


def test_everything_an_interactive_agent_may_say_is_read() -> None:
    prompts = {"desk": "You are at the desk of {{HOTEL}}.", "words": "{{SAID}}"}
    references = {"house-rules": ReferenceText("What guests may do.", "No drums.")}
    agent = definition(EVERYTHING, prompts=prompts, references=references, form="interactive")
    assert agent.agent is not None
    assert agent.agent.thread.temperature == Ref("WARMTH")
    assert agent.agent.thread.anthropic is not None
    assert agent.agent.thread.anthropic.skills[0].version == "3"
    assert list(agent.handlers) == ["guest-writes", "checkout"]
    assert {block.name: block.display for block in agent.handlers["checkout"]} == {
        "Write down": "name",
        "Keep": "name",
        "Book": "description",
        "Close": "name",
        "Note": "hidden",
        "Goodbye": "stream",
    }


def test_triggers_and_handlers_belong_together() -> None:
    protocol = INTERACTIVE.replace("handlers:\n  user-message:", "handlers:\n  user-mesage:")
    found = errors(protocol, prompts=CHAT, form="interactive")
    assert "handlers.user-mesage: there is no trigger 'user-mesage'; did you mean 'user-message'?" in found
    assert "triggers.user-message: there is no handler for the trigger 'user-message'" in found


def test_a_document_full_of_mistakes_has_a_bounded_report() -> None:
    report = validate(source("steps:\n" + "".join(f"  S{n}: {{block: x{n}}}\n" for n in range(5000)))).report
    assert len(report.errors) == MOST_PROBLEMS + 1
    assert report.errors[-1].message == "there are more errors; these are the first"


def test_a_report_has_the_form_that_clients_of_the_protocol_read() -> None:
    report = validate(source("steps: {A: {block: wait, for: 1}}")).report.as_json()
    assert report["valid"] is False
    assert report["errors"] == [
        {
            "message": "must be a duration, here it is the number 1; write a number and a unit, such as 30s, 5m or 1h30m",
            "severity": "error",
            "file": "protocol.yaml",
            "path": "steps.A.for",
            "line": 1,
        }
    ]
    assert isinstance(report["warnings"], list)


def test_loading_what_is_invalid_names_the_first_error() -> None:
    assert load(source(WORKER)).output == "ANSWER"
    with pytest.raises(
        InvalidPayload,
        match=r"^\$ is no valid definition: protocol.yaml:1:steps\.A\.block: there is no kind of block",
    ):
        load(source("steps: {A: {block: x}}", prompts={}))
