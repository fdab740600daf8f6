"""Filters: the grammar, and that their answers are PostgreSQL's own."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent_worker.db.connection import Database
from agent_worker.db.feed.comparing import Comparing
from agent_worker.db.feed.session import feed_conninfo
from agent_worker.db.feed.tables import Table, Tables
from agent_worker.db.feed.values import array_text
from agent_worker.domain.errors import ValueRefused
from agent_worker.gateway.realtime.conditions import Verdict, check_term
from agent_worker.gateway.realtime.filters import FilterMalformed, FilterTerm, parse_filter
from tests.gateway.feed.conftest import Sql


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("id=eq.1", [("id", "eq", "1", False)]),
        ("a=not.like.x%", [("a", "like", "x%", True)]),
        ("a=eq.1,b=lt.2", [("a", "eq", "1", False), ("b", "lt", "2", False)]),
        ('a=eq."x,y",b=eq.z', [("a", "eq", "x,y", False), ("b", "eq", "z", False)]),
        (r'a=eq."q\"u\\o"', [("a", "eq", 'q"u\\o', False)]),
        ('a=eq."half', [("a", "eq", '"half', False)]),
        ("a=in.(1,2),b=eq.3", [("a", "in", "{1,2}", False), ("b", "eq", "3", False)]),
        ('a=in.("x)","y,z")', [("a", "in", '{"x)","y,z"}', False)]),
        ("a=eq.b=c.d", [("a", "eq", "b=c.d", False)]),
        ("a=eq.", [("a", "eq", "", False)]),
        ("a=eq.it's", [("a", "eq", "it's", False)]),
        (" a=eq.1 ", [("a", "eq", "1", False)]),
        ("", []),
        (None, []),
    ],
)
def test_a_filter_is_read_as_upstream_reads_it(
    text: str | None, terms: list[tuple[str, str, str, bool]]
) -> None:
    assert parse_filter(text) == tuple(FilterTerm(*term) for term in terms)


@given(st.text(max_size=60) | st.text(alphabet='ab=.,()"\\ eqinot{}', max_size=40))
def test_whatever_is_written_is_a_filter_or_malformed(text: str) -> None:
    with contextlib.suppress(FilterMalformed):
        assert all(term.operator for term in parse_filter(text))


def test_a_filter_of_any_length_is_refused_quickly() -> None:
    with pytest.raises(FilterMalformed, match="16384"):
        parse_filter("a=eq." + "x" * 20_000)


_numbers = st.one_of(
    st.integers(-5, 5).map(str),
    st.decimals(-3, 3, places=2).map(str),
    st.sampled_from(["0.10", "0.1", "1e2", "100", "-0", "NaN", "Infinity", "-Infinity"]),
)
_texts = st.text(alphabet="abAB%_ éÉ\\.*,\"{}'", max_size=4)
_times = st.one_of(
    st.datetimes().map(str),
    st.sampled_from(
        ["infinity", "-infinity", "0044-03-15 BC", "12026-01-01", "2026-01-01", "2026-01-01 00:00:00.5"]
    ),
)
TYPES: dict[str, st.SearchStrategy[str]] = {
    "smallint": st.integers(-5, 5).map(str),
    "bigint": st.sampled_from(["-9223372036854775808", "9", "10", "-1", "9223372036854775807"]),
    "numeric": _numbers,
    "real": _numbers,
    "double precision": _numbers,
    "text": _texts,
    "varchar(9)": _texts,
    "char(4)": _texts,
    "boolean": st.sampled_from(["t", "f", "yes", "0"]),
    "uuid": st.uuids().map(str) | st.sampled_from(["A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"]),
    "date": _times,
    "timestamp": _times,
    "timestamptz": _times.map(lambda text: text + "Z" if text[0].isdigit() and "BC" not in text else text),
    "time": st.times().map(str) | st.just("24:00:00"),
    "interval": st.sampled_from(["1 day", "24:00:00", "1 mon", "30 days", "-1 s"]),
    "bytea": st.binary(max_size=2).map(lambda raw: "\\x" + raw.hex()),
    "inet": st.sampled_from(["10.0.0.1", "10.0.0.0/8", "::1"]),
    "jsonb": st.sampled_from(["1", "1.0", '{"a": 1}', '{"a":1.00}', "null"]),
    "mood": st.sampled_from(["sad", "ok", "happy"]),
    "integer[]": st.sampled_from(["{1,2}", "{1,3}", "{}", "{2}"]),
}
SQL = {
    "eq": "=",
    "neq": "<>",
    "lt": "<",
    "lte": "<=",
    "gt": ">",
    "gte": ">=",
    "isdistinct": "IS DISTINCT FROM",
}
PATTERNS = {"like": "LIKE", "ilike": "ILIKE", "match": "~", "imatch": "~*"}


@st.composite
def questions(draw: st.DrawFn) -> tuple[int, FilterTerm, list[str | None]]:
    place = draw(st.integers(0, len(TYPES) - 1))
    values = list(TYPES.values())[place]
    operator = draw(st.sampled_from([*SQL, *PATTERNS, "in"]))
    right = draw(values)
    if operator == "in":
        right = array_text(draw(st.lists(values | st.none(), max_size=3)))
    column = draw(st.lists(values | st.none(), min_size=1, max_size=4))
    return place, FilterTerm(f"c{place}", operator, right, draw(st.booleans())), column


def oracle(owner: Sql, type_: str, term: FilterTerm, values: Sequence[str | None]) -> list[bool]:
    """What PostgreSQL lets through; the types without their lengths, as upstream compares."""
    bare = "bpchar" if type_.startswith("char") else type_.partition("(")[0]
    if term.operator == "in":
        test = f"v::{type_}::{bare} = ANY (%s::{bare}[])"
    else:
        right = "text" if term.operator in PATTERNS else bare
        test = f"v::{type_}::{bare} {({**SQL, **PATTERNS})[term.operator]} %s::{right}"
    wanted = "false" if term.is_negated else "true"
    rows = owner.run(
        f"SELECT ({test}) IS {wanted} FROM unnest(%s::text[]) WITH ORDINALITY u (v, n) ORDER BY n",
        term.value, list(values),
    )  # fmt: skip
    return [bool(row[0]) for row in rows]


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(question=questions())
async def test_a_filters_answers_are_postgresqls_own(
    question: tuple[int, FilterTerm, list[str | None]], owner: Sql, kinds: tuple[Table, Comparing]
) -> None:
    place, term, values = question
    table, comparing = kinds
    type_ = list(TYPES)[place]
    try:
        condition = await check_term(term, table, frozenset(table.types), comparing)
    except ValueRefused:
        return  # its words are tested elsewhere; here no value of the column would pass either
    # Values as the log has them.
    logged = owner.run(
        f"SELECT CASE WHEN v IS NOT NULL THEN format('%%s', v::{type_}) END"
        " FROM unnest(%s::text[]) WITH ORDINALITY u (v, n) ORDER BY n", values
    )  # fmt: skip
    answers = []
    for (text,) in logged:
        verdict = condition.judge({term.column: None if text is None else str(text)})
        if verdict is Verdict.ASK:
            ((answer,),) = await comparing.judge(
                [(condition.comparison, [None if text is None else str(text)])]
            )
            verdict = condition.verdict(answer)
        answers.append(verdict is Verdict.YES)
    assert answers == oracle(owner, type_, term, values), (type_, term, values, condition.value)


@pytest.fixture
async def kinds(owner: Sql) -> AsyncIterator[tuple[Table, Comparing]]:
    owner.run(
        "CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy'); SET timezone = 'UTC'; SET intervalstyle = 'postgres'"
    )
    columns = ", ".join(f"c{place} {type_}" for place, type_ in enumerate(TYPES))
    owner.run(f"CREATE TABLE kinds (id integer PRIMARY KEY, {columns})")
    async with Database(feed_conninfo(owner.url, "test"), max_size=2) as db:
        ((oid,),) = owner.run("SELECT 'kinds'::regclass::oid::bigint")
        table = await Tables(db).look_up(int(str(oid)), "public", "kinds")
        assert table is not None
        yield table, Comparing(db)


async def test_a_pattern_that_takes_for_ever_is_given_up_and_harms_no_other(
    owner: Sql, kinds: tuple[Table, Comparing]
) -> None:
    table, comparing = kinds
    column = f"c{list(TYPES).index('text')}"
    endless = await check_term(
        FilterTerm(column, "match", r"^(.*)(.*)(.*)(.*)\1\2y$", is_negated=False),
        table,
        frozenset(table.types),
        comparing,
    )
    usual = await check_term(
        FilterTerm(column, "like", "a%", is_negated=False), table, frozenset(table.types), comparing
    )
    text = "a" + "ab" * 500 + "y"
    for _ in range(2):
        answers = await comparing.judge([(endless.comparison, [text]), (usual.comparison, [text])])
        assert answers == [[None], [True]], "the answer to the first came in time"
