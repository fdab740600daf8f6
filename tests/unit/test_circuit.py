"""The breaker's rules: when it opens, for how long, who may try again, and that it never stays shut for good."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from agent_worker.domain.circuit import MIN_WAIT_S, BreakerPolicy, Call, Circuit, Verdict, verdict
from agent_worker.domain.errors import ProcessorError, UpstreamError

POLICY = BreakerPolicy()
ROUNDING_S = 0.001
LONGEST_PAUSE_S = max(POLICY.max_pause_s, POLICY.max_retry_after_s * 1.1) + ROUNDING_S

rolls = st.floats(0, 1, exclude_max=True)
waits = st.none() | st.floats(0, 1e9)
verdicts = st.sampled_from(Verdict)


def fail(
    circuit: Circuit,
    what: Verdict = Verdict.OVERLOAD,
    *,
    call: Call | None = None,
    request: int = 1,
    retry_after_s: float | None = None,
    now: float = 0.0,
    roll: float = 0.5,
) -> Circuit:
    """Let a call through, unless one is given, and have it fail."""
    if call is None:
        circuit, call = circuit.admit(now)
    return circuit.failed(call, what, request=request, retry_after_s=retry_after_s, now=now, roll=roll)


def opened(*, now: float = 0.0) -> Circuit:
    circuit = Circuit()
    for _ in range(POLICY.failures):
        circuit = fail(circuit, now=now)
    assert circuit.is_open
    return circuit


@pytest.mark.parametrize(
    ("status", "what"),
    [
        (429, Verdict.OVERLOAD),
        (503, Verdict.OVERLOAD),
        (529, Verdict.OVERLOAD),
        (None, Verdict.SILENCE),
        (408, Verdict.SILENCE),
        (502, Verdict.SILENCE),
        (504, Verdict.SILENCE),
        (400, Verdict.ANSWER),
        (401, Verdict.ANSWER),
        (404, Verdict.ANSWER),
        (500, Verdict.ANSWER),
    ],
)
def test_a_status_tells_who_may_be_at_fault(status: int | None, what: Verdict) -> None:
    assert verdict(UpstreamError("x", provider="openai", status=status)) is what


def test_an_account_without_credit_is_no_overload() -> None:
    assert verdict(ProcessorError("x", code="quota_exceeded", retryable=False)) is Verdict.ANSWER


def test_the_third_overload_in_a_row_opens_it() -> None:
    circuit = fail(fail(Circuit()))
    assert not circuit.is_open
    assert fail(circuit).is_open


def test_a_success_in_between_starts_the_count_again() -> None:
    circuit = fail(fail(Circuit()))
    circuit, call = circuit.admit(0)
    circuit = circuit.succeeded(call)
    assert not fail(fail(circuit)).is_open


def test_a_long_retry_after_opens_it_at_once_for_as_long_as_it_says() -> None:
    assert not fail(Circuit(), retry_after_s=4.9).is_open
    assert 20 <= fail(Circuit(), retry_after_s=20).wait_s(0.0) <= 22


def test_a_daily_quota_is_asked_for_again_after_ten_minutes() -> None:
    assert 600 <= fail(Circuit(), retry_after_s=86_400).wait_s(0.0) <= 660


def test_pauses_grow_from_two_seconds_to_a_minute_while_probes_fail() -> None:
    circuit, now, shortest = opened(), 0.0, []
    for _ in range(7):
        shortest.append(circuit.wait_s(now))
        now += circuit.wait_s(now)
        circuit = fail(circuit, now=now, roll=0.0)
    assert shortest == [3, 4, 8, 16, 30, 30, 30], "the first with a roll of one half, the others with zero"
    assert POLICY.pause_s(9, None, roll=0.999_999) == pytest.approx(60)


def test_a_probe_that_is_answered_closes_it_and_one_more_failure_opens_it_again_for_longer() -> None:
    circuit = opened()
    first_s = circuit.wait_s(0)
    circuit, probe = circuit.admit(100)
    circuit = circuit.answered(probe)
    assert (circuit.is_open, circuit.wait_s(100)) == (False, 0)
    assert fail(circuit, now=100).wait_s(100) > first_s


def test_a_probe_that_gets_its_whole_answer_makes_all_forgotten() -> None:
    circuit, probe = opened().admit(100)
    circuit = circuit.answered(probe).succeeded(probe)
    assert not fail(fail(circuit)).is_open


def test_a_probe_refused_for_a_fault_of_its_own_closes_it() -> None:
    assert not fail(opened(), Verdict.ANSWER, now=100).is_open


def test_calls_let_through_before_the_pause_tell_nothing_new() -> None:
    circuit, early = Circuit().admit(0)
    for _ in range(POLICY.failures):
        circuit = fail(circuit)
    assert fail(circuit, call=early, now=1) == circuit
    assert circuit.succeeded(early) == circuit.answered(early) == circuit.abandoned(early) == circuit


def test_one_request_that_gets_no_answer_cannot_open_it_however_often_it_is_tried() -> None:
    circuit = Circuit()
    for _ in range(50):
        circuit = fail(circuit, Verdict.SILENCE, request=7)
    assert not circuit.is_open


def test_three_requests_that_get_no_answer_open_it() -> None:
    circuit = Circuit()
    for request in (7, 7, 8, 8, 9):
        assert not circuit.is_open
        circuit = fail(circuit, Verdict.SILENCE, request=request)
    assert circuit.is_open


def test_a_silent_probe_gets_company_after_a_minute() -> None:
    circuit, _ = opened().admit(100)
    assert circuit.wait_s(100) == MIN_WAIT_S
    assert circuit.wait_s(130) == 30, "the longer it takes, the longer it may still take"
    assert circuit.wait_s(160) == 0


def test_a_probe_that_ends_without_news_makes_room_for_another() -> None:
    circuit, probe = opened().admit(100)
    assert circuit.wait_s(100) > 0
    assert circuit.abandoned(probe).wait_s(100) == 0


def test_a_thousand_calls_come_back_over_ten_seconds() -> None:
    circuit, delays = opened(), []
    for n in range(1000):
        circuit, delay_s = circuit.turn_away(0.0, roll=n / 1000)
        delays.append(delay_s)
    pause_s = circuit.wait_s(0.0)
    assert min(delays) == pause_s
    assert pause_s + 9 < max(delays) < pause_s + 10


@given(st.lists(st.sampled_from([Verdict.ANSWER]) | st.none(), max_size=30), rolls, waits)
def test_only_overload_and_silence_open_it(
    news: list[Verdict | None], roll: float, retry_after_s: float | None
) -> None:
    circuit = Circuit()
    for what in news:
        circuit, call = circuit.admit(0.0)
        if what is None:
            circuit = circuit.succeeded(call)
        else:
            circuit = fail(circuit, what, call=call, retry_after_s=retry_after_s, roll=roll)
    assert not circuit.is_open


class Life(RuleBasedStateMachine):
    """Calls begin, end in every way and in any order, and time passes."""

    def __init__(self) -> None:
        super().__init__()
        self.circuit = Circuit()
        self.now = 0.0
        self.running: list[Call] = []

    @rule(seconds=st.floats(0, 90))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(roll=rolls)
    def somebody_calls(self, roll: float) -> None:
        before = self.circuit
        if before.wait_s(self.now) > 0:
            self.circuit, delay_s = before.turn_away(self.now, roll=roll)
            assert MIN_WAIT_S <= delay_s <= LONGEST_PAUSE_S + POLICY.max_spread_s
            assert self.circuit.epoch == before.epoch, "whoever is turned away changes nothing but the count"
            return
        assert before.paused_until is None or self.now >= before.paused_until
        others = [
            call
            for call in self.running
            if before.is_open and call.epoch == before.epoch and self.now - call.since < POLICY.probe_s
        ]
        assert not others, "one probe at a time"
        self.circuit, call = before.admit(self.now)
        self.running.append(call)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def a_call_is_answered(self, data: st.DataObject) -> None:
        call = data.draw(st.sampled_from(self.running))
        was_current = call.epoch == self.circuit.epoch
        self.circuit = self.circuit.answered(call)
        assert not (was_current and self.circuit.is_open)

    @precondition(lambda self: self.running)
    @rule(
        data=st.data(), what=verdicts | st.none(), retry_after_s=waits, request=st.integers(0, 3), roll=rolls
    )
    def a_call_ends(
        self,
        data: st.DataObject,
        what: Verdict | None,
        retry_after_s: float | None,
        request: int,
        roll: float,
    ) -> None:
        call = data.draw(st.sampled_from(self.running))
        self.running.remove(call)
        before = self.circuit
        if what is None:
            self.circuit = before.succeeded(call)
        else:
            self.circuit = fail(
                before,
                what,
                call=call,
                request=request,
                retry_after_s=retry_after_s,
                now=self.now,
                roll=roll,
            )
        self.circuit = self.circuit.abandoned(call)
        if call.epoch != before.epoch:
            assert self.circuit == before
        elif what is None or what is Verdict.ANSWER:
            assert not self.circuit.is_open

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def a_call_is_broken_off(self, data: st.DataObject) -> None:
        call = data.draw(st.sampled_from(self.running))
        self.running.remove(call)
        self.circuit = self.circuit.abandoned(call)

    @invariant()
    def it_lets_somebody_through_sooner_or_later(self) -> None:
        wait_s = self.circuit.wait_s(self.now)
        assert 0 <= wait_s <= LONGEST_PAUSE_S
        patience_s = max(wait_s, POLICY.probe_s) + ROUNDING_S
        assert self.circuit.wait_s(self.now + patience_s) == 0

    @invariant()
    def a_closed_one_lets_everybody_through(self) -> None:
        assert self.circuit.is_open or self.circuit.wait_s(self.now) == 0


Life.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
test_whatever_happens_one_probe_at_a_time_and_never_shut_for_good = Life.TestCase
