"""Whatever a query says, it can be written and read again; whatever stands in a URL, it is read or refused."""

from __future__ import annotations

import string
from typing import Literal
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_worker.db.access.query import (
    Column,
    Condition,
    Embed,
    Field,
    Filter,
    Group,
    Operator,
    Order,
    Selection,
    Step,
)
from agent_worker.domain.errors import GatewayError
from agent_worker.gateway.rest import grammar
from agent_worker.gateway.rest.media import accepted
from agent_worker.gateway.rest.parameters import parameters
from agent_worker.gateway.rest.prefer import preferences
from agent_worker.gateway.rest.scanner import SyntaxProblem

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NAME = st.one_of(
    st.text(string.ascii_letters + string.digits + "_", min_size=1, max_size=8).filter(
        lambda name: name not in {"and", "or", "not", "inner", "left", "count", "sum", "avg", "min", "max"}
    ),
    TEXT.filter(bool),
)
STEP = st.builds(Step, st.one_of(NAME, st.integers(-9, 9)), st.booleans())
FIELD = st.builds(Field, NAME, st.lists(STEP, max_size=2).map(tuple))
PLAIN = [op for op in Operator if op not in {Operator.IN, Operator.IS}]
SEARCHES = [Operator.FTS, Operator.PLFTS, Operator.PHFTS, Operator.WFTS]
FILTER = st.one_of(
    st.builds(Filter, FIELD, st.sampled_from(PLAIN), TEXT, st.booleans()),
    st.builds(Filter, FIELD, st.just(Operator.EQ), TEXT, st.booleans(), st.sampled_from(["any", "all"])),
    st.builds(Filter, FIELD, st.sampled_from(SEARCHES), TEXT, st.booleans(), st.none(), st.just("english")),
    st.builds(
        Filter, FIELD, st.just(Operator.IN), st.lists(TEXT, min_size=1, max_size=3).map(tuple), st.booleans()
    ),
    st.builds(
        Filter,
        FIELD,
        st.just(Operator.IS),
        st.sampled_from(["null", "not_null", "true", "false", "unknown"]),
        st.booleans(),
    ),
)
CONDITION: st.SearchStrategy[Condition] = st.recursive(
    FILTER,
    lambda inner: st.builds(
        Group,
        st.sampled_from(["and", "or"]),
        st.lists(inner, min_size=1, max_size=3).map(tuple),
        st.booleans(),
    ),
    max_leaves=5,
)
ORDER = st.builds(
    Order,
    FIELD,
    st.sampled_from([None, True, False]),
    st.sampled_from([None, "first", "last"]),
    st.one_of(st.none(), NAME),
)
COLUMN = st.one_of(
    st.just(Column(Field("*"))),
    st.builds(Column, FIELD, st.one_of(st.none(), NAME), st.sampled_from([None, "text", "int4"])),
)


def _selections(embeds: st.SearchStrategy[Embed]) -> st.SearchStrategy[Selection]:
    return st.builds(
        Selection,
        columns=st.lists(COLUMN, min_size=1, max_size=3).map(tuple),
        embeds=st.lists(embeds, max_size=2).map(tuple),
    )


SELECTION = st.recursive(
    st.builds(Selection, columns=st.lists(COLUMN, min_size=1, max_size=3).map(tuple)),
    lambda inner: _selections(
        st.builds(
            Embed,
            NAME,
            inner,
            st.one_of(st.none(), NAME),
            st.one_of(st.none(), NAME.filter(lambda name: name not in {"inner", "left"})),
            st.booleans(),
        )
    ),
    max_leaves=4,
)


def quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def shown_place(place: Field) -> str:
    steps = (
        ("->>" if step.as_text else "->") + (str(step.key) if isinstance(step.key, int) else quoted(step.key))
        for step in place.path
    )
    return quoted(place.name) + "".join(steps)


def shown_operation(condition: Filter, *, is_nested: bool) -> str:
    negation = "not." if condition.negated else ""
    modifier = condition.quantifier or condition.language
    operator = f"{condition.operator}({modifier})" if modifier else condition.operator
    if isinstance(condition.value, tuple):
        value = f"({','.join(map(quoted, condition.value))})"
    elif is_nested and condition.operator is not Operator.IS:
        value = quoted(condition.value)
    else:
        value = condition.value
    return f"{negation}{operator}.{value}"


def shown(condition: Condition) -> str:
    if isinstance(condition, Filter):
        return f"{shown_place(condition.field)}.{shown_operation(condition, is_nested=True)}"
    members = ",".join(map(shown, condition.members))
    return f"{'not.' if condition.negated else ''}{condition.joint}({members})"


def shown_order(order: Order) -> str:
    place = shown_place(order.field)
    term = place if order.relation is None else f"{quoted(order.relation)}({place})"
    direction = {None: "", True: ".desc", False: ".asc"}[order.descending]
    return term + direction + (f".nulls{order.nulls}" if order.nulls else "")


def shown_selection(selection: Selection) -> str:
    def alias(name: str | None) -> str:
        return "" if name is None else f"{quoted(name)}:"

    columns = [
        "*"
        if column.field.name == "*" and not column.field.path and column.alias is None and column.cast is None
        else alias(column.alias) + shown_place(column.field) + (f"::{column.cast}" if column.cast else "")
        for column in selection.columns
    ]
    embeds = [
        f"{alias(embed.alias)}{quoted(embed.relation)}{'!' + quoted(embed.hint) if embed.hint else ''}"
        f"{'!inner' if embed.is_inner else ''}({shown_selection(embed.selection)})"
        for embed in selection.embeds
    ]
    return ",".join(columns + embeds)


@given(FILTER)
def test_a_filter_is_read_as_it_was_meant(wanted: Filter) -> None:
    query = urlencode({shown_place(wanted.field): shown_operation(wanted, is_nested=False)})

    if wanted.field.name in {"select", "columns", "on_conflict", "order", "limit", "offset", "and", "or"}:
        return
    assert parameters(query).where == (wanted,)


@given(st.lists(CONDITION, min_size=1, max_size=3), st.sampled_from(["and", "or"]), st.booleans())
def test_groups_of_conditions_are_read_as_they_were_meant(
    members: list[Condition], joint: Literal["and", "or"], negated: bool
) -> None:
    name = f"not.{joint}" if negated else joint
    query = urlencode({name: f"({','.join(map(shown, members))})"})

    assert parameters(query).where == (Group(joint, tuple(members), negated),)


@given(st.lists(ORDER, min_size=1, max_size=3))
def test_an_order_is_read_as_it_was_meant(wanted: list[Order]) -> None:
    assert grammar.orders(",".join(map(shown_order, wanted))) == tuple(wanted)


@given(SELECTION)
def test_a_select_list_is_read_as_it_was_meant(wanted: Selection) -> None:
    assert grammar.selection(shown_selection(wanted)) == wanted


@given(st.lists(NAME, min_size=1, max_size=4))
def test_names_are_read_as_they_were_meant(wanted: list[str]) -> None:
    assert grammar.names(", ".join(map(quoted, wanted))) == tuple(wanted)


SCRAPS = st.lists(
    st.one_of(
        TEXT,
        st.sampled_from(
            [
                "select",
                "order",
                "limit",
                "or",
                "and",
                "not",
                "=",
                "&",
                ".",
                ",",
                "(",
                ")",
                '"',
                "\\",
                "->",
                "->>",
            ]
        ),
        st.sampled_from(
            ["::", ":", "!", "!inner", "*", "...", "eq", "in", "is", "null", "cs", "{", "}", "any", "%", "+"]
        ),
    ),
    max_size=14,
).map("".join)


@settings(max_examples=500)
@given(st.one_of(SCRAPS, TEXT), st.booleans())
def test_any_query_is_read_or_refused(query: str, of_call: bool) -> None:
    for text in (query, quote(query, safe="=&")):
        try:
            parameters(text, of_call=of_call)
        except GatewayError as refused:
            code = refused.code
        else:
            continue
        assert code in {"PGRST100", "PGRST103", "PGRST108", "PGRST123"}


@given(SCRAPS)
def test_any_text_is_read_or_refused(text: str) -> None:
    for read in (grammar.selection, grammar.orders, grammar.names, grammar.place):
        try:
            read(text)
        except (SyntaxProblem, grammar.AggregateUsed):
            continue


@given(st.one_of(TEXT, SCRAPS))
def test_any_header_is_read_or_refused(text: str) -> None:
    for read in (accepted, lambda value: preferences([value])):
        try:
            read(text)
        except GatewayError as refused:
            status = refused.status
        else:
            continue
        assert status in {400, 406}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("select=a,b(", '"failed to parse select parameter (a,b()" (line 1, column 5)'),
        ("a=noop.0", '"failed to parse filter (noop.0)" (line 1, column 1)'),
        ("order=a.up", '"failed to parse order (a.up)" (line 1, column 2)'),
        ("or=a.eq.1", '"failed to parse logic tree (a.eq.1)" (line 1, column 1)'),
    ],
)
def test_a_problem_names_its_place(text: str, problem: str) -> None:
    with pytest.raises(GatewayError) as caught:
        parameters(text)

    assert str(caught.value) == problem
    assert caught.value.details is not None
    assert caught.value.details.startswith("unexpected")


def test_parameters_of_embedded_relations_go_where_they_belong() -> None:
    found = parameters(
        "select=*,a(x,b(y)),c:d(z)&a.order=x.desc&a.limit=3&a.b.y=eq.1&c.or=(z.eq.1,z.eq.2)&a.b.not.and=(y.gt.1)"
    ).selection

    a, c = found.embeds
    assert (a.selection.order, a.selection.limit) == ((Order(Field("x"), descending=True),), 3)
    assert a.selection.embeds[0].selection.where == (
        Filter(Field("y"), Operator.EQ, "1"),
        Group("and", (Filter(Field("y"), Operator.GT, "1"),), negated=True),
    )
    assert len(c.selection.where) == 1
    assert found.where == ()
