"""Where a worker looks in the queue."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from uuid import UUID

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from agent_worker.domain.lanes import FORGET_AFTER_S, MARGIN, MAX_LANES, NOBODY, Lane, LaneBook, Span

Row = tuple[str, int, Lane, int]  # kind, priority, lane, seq


USERS = ["10000000-0000-0000-0000-000000000000", "ffffffff-0000-0000-0000-000000000000"]


def of(tenant: str) -> Lane:
    """Return the lane of a tenant's tasks that belong to no user."""
    return tenant, NOBODY


def take(queue: list[Row], spans: Sequence[Span], limit: int) -> list[Row]:
    """Claim from a list as the SQL function does from the table."""
    taken: list[Row] = []
    for span in spans:
        inside = sorted(
            (
                row
                for row in queue
                if row[:2] == (span.kind, span.priority) and span.low <= (*row[2], row[3]) < span.high
            ),
            key=lambda row: (row[2][0].encode(), row[2][1], row[3]),
        )
        for row in inside[: min(span.quota, limit - len(taken))]:
            queue.remove(row)
            taken.append(row)
    return taken


def drain(book: LaneBook, queue: list[Row], limit: int, *, rounds: int = 10_000) -> list[list[Row]]:
    """Claim until nothing is left; a look that finds nothing is followed by a sweep, as in the claimer."""
    claims, sweep = [], True
    for now in range(rounds):
        taken = take(queue, book.spans(limit, sweep=sweep), limit)
        book.learn(taken, float(now))
        if not taken and sweep:
            return claims
        sweep = not taken
        claims.append(taken)
    raise AssertionError(f"not drained after {rounds} claims: {len(queue)} left")


LANES = st.tuples(
    st.sampled_from(["", "acme", "Beta", "zoë", "zz", "\u4e2d"]), st.sampled_from([NOBODY, *map(UUID, USERS)])
)
ROWS = st.lists(st.tuples(st.sampled_from(["chat", "echo"]), st.sampled_from([0, 4, 9]), LANES), max_size=60)


@given(ROWS, st.integers(1, 20))
@settings(max_examples=50, deadline=None)
def test_every_task_is_found_once(rows: list[tuple[str, int, Lane]], limit: int) -> None:
    queue = [(*row, seq) for seq, row in enumerate(rows, 1)]
    wanted = sorted(queue)
    claims = drain(LaneBook(["chat", "echo"], range(9, -1, -1)), queue, limit)
    assert sorted(row for claim in claims for row in claim) == wanted
    assert all(len(claim) <= limit for claim in claims)


@given(st.integers(2, 20), st.integers(1, 50))
@settings(max_examples=20, deadline=None, phases=[Phase.generate])
def test_a_large_tenant_delays_another_by_one_batch_at_most(tenants: int, limit: int) -> None:
    queue: list[Row] = [("chat", 0, of("large"), seq) for seq in range(1, 4001)]
    book = LaneBook(["chat"], [0])
    for _ in range(3):
        book.learn(take(queue, book.spans(limit, sweep=False), limit), 0.0)
    small = [f"tenant-{n:02}" for n in range(tenants)]
    queue += [("chat", 0, of(tenant), 3000 + n) for n, tenant in enumerate(small)]
    served: set[str] = set()
    claims = 0
    while not served.issuperset(small) and claims < 200:
        taken = take(queue, book.spans(limit, sweep=False), limit)
        book.learn(taken, 0.0)
        served |= {row[2][0] for row in taken}
        claims += 1
    assert claims <= 2 + 2 * -(-tenants // min(max(limit // 4, 1), limit)), (
        "the new ones are served before the large one goes on"
    )


def test_tenants_take_turns_when_slots_are_few() -> None:
    queue: list[Row] = [("chat", 0, of(tenant), seq) for seq in range(1, 301) for tenant in ("a", "b", "c")]
    claims = drain(LaneBook(["chat"], [0]), queue, 1)
    first = [claim[0][2][0] for claim in claims[:60] if claim]
    assert all(15 <= first.count(tenant) <= 25 for tenant in ("a", "b", "c"))


def test_a_tenants_users_take_turns_within_its_turn() -> None:
    """A tenant with many users gets no more than one with few, and each of its users a part of that."""
    users = [UUID(int=n) for n in range(1, 11)]
    queue: list[Row] = [("chat", 0, ("many", user), seq) for seq in range(1, 101) for user in users]
    queue += [("chat", 0, ("few", users[0]), seq) for seq in range(1, 1001)]
    claims = drain(LaneBook(["chat"], [0]), queue, 20)
    served = [row[2] for claim in claims[20:60] for row in claim]
    assert 0.4 < sum(enterprise == "many" for enterprise, _ in served) / len(served) < 0.6
    shares = [served.count(("many", user)) for user in users]
    assert min(shares) > 0.5 * max(shares)


def test_higher_priorities_come_first_but_never_for_ever() -> None:
    queue: list[Row] = [("chat", 9, of(""), seq) for seq in range(1, 101)] + [("chat", 0, of(""), 1000)]
    claims = drain(LaneBook(["chat"], range(9, -1, -1)), queue, 1)
    turn = next(n for n, claim in enumerate(claims) if claim and claim[0][1] == 0)
    assert 1 <= turn <= 10


def test_a_claim_starts_at_the_watermark_and_a_sweep_at_zero() -> None:
    book = LaneBook(["chat"], [0])
    book.learn([("chat", 0, of("acme"), 50_000)], 0.0)
    assert ("acme", NOBODY, 50_000 - MARGIN) in {span.low for span in book.spans(10, sweep=False)}
    assert ("acme", NOBODY, 0) in {span.low for span in book.spans(10, sweep=True)}


def test_spans_of_a_level_cover_it_without_a_hole() -> None:
    book = LaneBook(["chat"], [0])
    book.learn(
        [
            ("chat", 0, (tenant, user), 1)
            for tenant in ("b", "a", "\U0001f600", "Z")
            for user in map(UUID, USERS)
        ],
        0.0,
    )
    spans = sorted(
        book.spans(10, sweep=True), key=lambda span: (span.low[0].encode(), span.low[1], span.low[2])
    )
    for before, after in pairwise(spans):
        assert before.high[:2] == after.low[:2]
        assert before.high[2] in {0, after.low[2]}


def test_idle_lanes_are_forgotten_and_the_memory_is_bounded() -> None:
    book = LaneBook(["chat"], [0])
    book.learn([("chat", 0, of(f"tenant-{n}"), n) for n in range(MAX_LANES + 50)], 0.0)
    assert len(book.spans(1, sweep=False)) == 2 * MAX_LANES + 1
    book.forget_idle(FORGET_AFTER_S + 1)
    assert len(book.spans(1, sweep=False)) == 1
