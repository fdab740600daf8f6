"""Values look as `to_jsonb` has them, whatever their type."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from agent_worker.db.feed.values import array_text, parse_array
from agent_worker.gateway.realtime.changes import Changes
from tests.gateway.feed.conftest import Sql
from tests.gateway.feed.ears import Ear, binding, service

VALUES = {
    "smallint": ["-32768", "0"],
    "integer": ["2147483647"],
    "bigint": ["9223372036854775807", "-1"],
    "numeric": ["1.10", "12345678901234567890.123456789", "NaN", "Infinity", "-0.5", "1e40"],
    "real": ["0.1", "1e20", "-Infinity", "3.4e38"],
    "double precision": ["0.1", "1e-300", "NaN", "123456789.123456789"],
    "boolean": ["true", "false"],
    "text": ["", "héé \U0001f600", 'quote " back \\ line\nend\t', "NULL", "{a}", "\x01"],
    "varchar(10)": ["abc"],
    "char(5)": ["ab"],
    '"char"': ["x"],
    "name": ["someone"],
    "uuid": ["A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"],
    "json": ['{"b": 1,  "a": [1, 2.50, null, "\\u00e9"]}', "null", '"text"'],
    "jsonb": ['{"b": 1, "a": {"c": [true, 1.50]}}', "null", "[]", "1e3"],
    "date": ["2026-11-21", "infinity", "0044-03-15 BC", "12026-01-01"],
    "time": ["12:34:56.789", "24:00:00"],
    "timetz": ["12:34:56+02"],
    "timestamp": ["2026-11-21 06:43:24.315776", "2026-11-21", "-infinity", "0044-03-15 12:00:00 BC"],
    "timestamptz": ["2026-11-21 06:43:24.315776+02", "2026-11-21Z", "infinity", "0044-03-15 12:00:00Z BC"],
    "interval": ["1 year 2 mons 3 days 04:05:06.7", "-1 day"],
    "bytea": ["\\xdeadbeef", ""],
    "inet": ["192.168.0.1/24"],
    "point": ["(1,2)"],
    "int4range": ["[1,5)"],
    "money": ["12.34"],
    "oid": ["4294967295"],
    "bit(3)": ["101"],
    "tsvector": ["a fat cat"],
    "mood": ["happy", "it's"],
    "positive": ["5"],
    "labels": ['{a,"b,c"}'],
    "pair": ['(1,"a ""quoted"" b")', "(,)"],
    "pair[]": ['{"(1,a)","(2,\\"b c\\")"}'],
    "integer[]": ["{1,NULL,3}", "{}", "{{1,2},{3,4}}", "[0:1]={5,6}"],
    "text[]": ['{a,"b,c","d \\"e\\" \\\\ f",NULL,"NULL",""}', '{{"{x}"}}'],
    "boolean[]": ["{t,f,NULL}"],
    "timestamptz[]": ['{"2026-11-21 06:43:24+00",NULL}'],
    "jsonb[]": ['{"{\\"a\\": [1, 2]}","null"}'],
    "uuid[]": ["{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}"],
    "numeric[]": ["{1.10,NaN}"],
    "box[]": ["{(1,1),(0,0);(2,2),(1,1)}"],
    "mood[]": ['{happy,"it\'s"}'],
}


async def test_values_of_every_type_look_as_to_jsonb_has_them(changes: Changes, owner: Sql) -> None:
    owner.run("CREATE TYPE mood AS ENUM ('happy', 'it''s')")
    owner.run("CREATE DOMAIN positive AS integer CHECK (value > 0); CREATE DOMAIN labels AS text[]")
    owner.run("CREATE TYPE pair AS (number integer, label text)")
    owner.run("SET timezone = 'UTC'")
    names = {f"c{place}": type_ for place, type_ in enumerate(VALUES)}
    columns = ", ".join(f"{name} {type_}" for name, type_ in names.items())
    owner.run(f"CREATE TABLE kinds (id integer PRIMARY KEY, {columns})")
    owner.run("GRANT SELECT ON kinds TO service_role; ALTER PUBLICATION supabase_realtime ADD TABLE kinds")
    ear = Ear(service())
    await changes.add(ear, [binding("kinds")])
    for number in range(max(map(len, VALUES.values())) + 1):
        given = {name: VALUES[type_][number] for name, type_ in names.items() if number < len(VALUES[type_])}
        listed = "".join(f", {name}" for name in given)
        owner.run(f"INSERT INTO kinds (id{listed}) VALUES (%s{', %s' * len(given)})", number, *given.values())
    await ear.heard(number + 1)
    wanted = [str(row) for (row,) in owner.run("SELECT to_jsonb(kinds)::text FROM kinds ORDER BY id")]
    for text, row in zip(ear.texts, wanted, strict=True):
        assert exactly(text)["record"] == exactly(row)


def exactly(text: str) -> Any:
    """Read JSON without rounding its numbers."""
    return json.loads(text, parse_int=Decimal, parse_float=Decimal)


async def test_a_type_is_named_as_clients_know_it(changes: Changes, owner: Sql) -> None:
    owner.run(
        "CREATE TABLE kinds (id bigint PRIMARY KEY, a varchar(3), b text[], c timestamptz, d double precision)"
    )
    owner.run("GRANT SELECT ON kinds TO service_role; ALTER PUBLICATION supabase_realtime ADD TABLE kinds")
    ear = Ear(service())
    await changes.add(ear, [binding("kinds")])
    owner.run("INSERT INTO kinds (id) VALUES (1)")
    (told,) = await ear.heard(1)
    assert [column["type"] for column in told["columns"]] == [
        "int8",
        "varchar",
        "_text",
        "timestamptz",
        "float8",
    ]


@pytest.mark.parametrize("values", [[], [None], [""], ["a", 'b"', "\\", "{}", ",", "NULL", " "], ["\n"]])
def test_the_text_of_an_array_is_read_as_it_was_written(values: list[str | None]) -> None:
    assert parse_array(array_text(values)) == values
