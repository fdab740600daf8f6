"""Lists that pack themselves: the server has to read what was meant, of every type and length."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import psycopg
import pytest

from agent_worker.db import arrays
from agent_worker.db.arrays import BigintArray, DoubleArray, IntArray, TextArray, UuidArray


@pytest.mark.parametrize(
    ("given", "type_name"),
    [
        (UuidArray([UUID(int=0), UUID(int=2**128 - 1)]), "uuid[]"),
        (IntArray([0, -(2**31), 2**31 - 1]), "integer[]"),
        (BigintArray([0, -(2**63), 2**63 - 1]), "bigint[]"),
        (DoubleArray([0.1, -1e300, 3]), "double precision[]"),
        (TextArray(["", "ü✓", "{a, 'b', \"c\", \\}", "NULL"]), "text[]"),
    ],
)
@pytest.mark.parametrize("copies", [0, 1, 250])
def test_a_list_arrives_as_it_is_with_its_type(
    postgres_url: str, given: list[Any], type_name: str, copies: int
) -> None:
    sent = type(given)(given * copies)

    with psycopg.connect(postgres_url) as conn:
        arrays.register(conn)
        row = conn.execute("SELECT %(list)s, pg_typeof(%(list)s)::text", {"list": sent}).fetchone()

    assert row == (list(sent), type_name)
