"""Token buckets: how many pass, when the next one does, and how much memory that takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_worker.domain.errors import GatewayError
from agent_worker.security.limits import Buckets
from agent_worker.security.passwords import Passwords


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_passes_and_then_as_many_as_time_allows() -> None:
    clock = Clock()
    buckets = Buckets(per_s=2.0, burst=5, monotonic=clock)

    assert [buckets.take("a") for _ in range(6)] == [0, 0, 0, 0, 0, 0.5]
    clock.now += 0.5
    assert buckets.take("a") == 0
    assert buckets.take("a") == 0.5
    assert buckets.take("b") == 0, "another name has a bucket of its own"


def test_looking_takes_nothing() -> None:
    buckets = Buckets(per_s=1.0, burst=1, monotonic=Clock())

    assert [buckets.wait_s("a") for _ in range(3)] == [0, 0, 0]
    buckets.take("a")
    assert buckets.wait_s("a") == 1.0


def test_too_many_is_429_with_the_seconds_to_wait() -> None:
    buckets = Buckets(per_s=0.4, burst=1, monotonic=Clock())
    buckets.require("a")

    with pytest.raises(GatewayError) as caught:
        buckets.require("a")

    assert (caught.value.status, caught.value.headers) == (429, {"Retry-After": "3"})


def test_zero_sets_no_limit_and_remembers_nobody() -> None:
    buckets = Buckets(per_s=0, burst=0)

    assert {buckets.take(str(number)) for number in range(1000)} == {0.0}
    assert len(buckets) == 0


def test_a_million_names_take_the_memory_of_a_few() -> None:
    buckets = Buckets(per_s=1.0, burst=1, most=100, monotonic=Clock())

    for number in range(10_000):
        buckets.take(f"10.0.{number // 256}.{number % 256}")

    assert len(buckets) == 100
    assert buckets.take("10.0.39.15") > 0, "the last ones are remembered"


@given(
    st.lists(st.floats(min_value=0, max_value=3), max_size=60),
    st.floats(min_value=0.1, max_value=10),
    st.integers(1, 20),
)
def test_never_more_pass_than_the_burst_and_the_time_allow(
    pauses: list[float], per_s: float, burst: int
) -> None:
    clock = Clock()
    buckets = Buckets(per_s=per_s, burst=burst, monotonic=clock)
    passed = 0
    for pause in pauses:
        clock.now += pause
        passed += buckets.take("a") == 0

    assert passed <= burst + clock.now * per_s + 1e-6


async def test_a_password_matches_its_own_hash_and_no_other() -> None:
    passwords = Passwords()
    stored = await passwords.hash("correct horse ⚡")

    assert stored.startswith("$scrypt$ln=14,r=8,p=5$")
    assert await passwords.matches("correct horse ⚡", stored)
    assert not await passwords.matches("correct horse", stored)
    assert not await passwords.matches("correct horse ⚡", None)
    assert not await passwords.matches("correct horse ⚡", "$2a$10$notours")
    assert stored != await passwords.hash("correct horse ⚡"), "each has a salt of its own"
