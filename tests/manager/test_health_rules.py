"""The arithmetic of probing, as values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisord_lite.core.probe import HealthCheck, TcpProbe
from supervisord_lite.core.state import Health
from supervisord_lite.manager.probes.health_rules import (
    Round,
    Tally,
    count,
    first_try,
    lost,
    next_try,
    opening_try,
)

CHECK = HealthCheck(TcpProbe("127.0.0.1", 1), interval=10.0, retries=3, jitter=0.1)


def after(*answers: bool, start: Health = Health.UNKNOWN) -> Tally:
    tally = Tally(start)
    for good in answers:
        tally = count(tally, CHECK, good=good, excused=False)
    return tally


def test_one_success_makes_healthy() -> None:
    """The first success is a verdict, whatever was before."""
    assert after(True).verdict is Health.HEALTHY
    assert after(False, False, False, True).verdict is Health.HEALTHY


def test_fewer_failures_than_retries_change_nothing() -> None:
    """Two failures of three leave the verdict as it was."""
    assert after(False, False).verdict is Health.UNKNOWN
    assert after(True, False, False).verdict is Health.HEALTHY


def test_retries_failures_in_a_row_make_unhealthy() -> None:
    """The third failure of three is a verdict, and it stays one."""
    assert after(True, False, False, False).verdict is Health.UNHEALTHY
    assert after(False, False, False, False, False).verdict is Health.UNHEALTHY


def test_a_success_forgets_the_failures_before() -> None:
    """Failures count in a row only."""
    assert after(False, False, True, False, False) == Tally(Health.HEALTHY, 2)


def test_an_excused_failure_does_not_count() -> None:
    """Neither does it count nor does it break the row."""
    tally = after(True, False, False)
    assert count(tally, CHECK, good=False, excused=True) == tally


def test_an_excused_success_counts() -> None:
    """What is good in spite of a disturbance is good."""
    assert count(after(False), CHECK, good=True, excused=True) == Tally(Health.HEALTHY)


@pytest.mark.parametrize(
    "tried",
    [
        Round(10.0, 10.0, 0.0, 0.0, stopped=True),
        Round(10.0, 10.0, 0.0, 0.0, late=True),
        Round(10.0, 11.5, 0.0, 0.0),
        Round(10.0, 10.0, 5.0, 3605.0),
    ],
    ids=["stopped by a signal", "held up in the try", "a timer that fired late", "slept"],
)
def test_a_disturbed_round_says_so(tried: Round) -> None:
    """A round in which something stood still says nothing about the worker."""
    assert tried.disturbed


def test_an_undisturbed_round_says_so() -> None:
    """Milliseconds of lateness are everyday."""
    assert not Round(10.0, 10.05, 7.0, 7.0001).disturbed


def test_no_time_is_lost_where_nothing_stood_still() -> None:
    """A look that comes a little late is everyday."""
    assert lost(2.6, 2.5, napped=False, stopped=False) == 0.0


@pytest.mark.parametrize(("napped", "stopped"), [(True, False), (False, True)])
def test_the_time_of_a_nap_or_a_stop_is_lost(napped: bool, stopped: bool) -> None:
    """All since the last look: nobody knows when it began."""
    assert lost(2.5, 2.5, napped=napped, stopped=stopped) == 2.5


def test_time_that_we_were_held_up_is_lost() -> None:
    """As much as the look is late."""
    assert lost(62.5, 2.5, napped=False, stopped=False) == 60.0


def test_instances_are_spread_by_their_names() -> None:
    """Those that came up together are not all looked at in one moment, nor later than asked."""
    times = {first_try(f"web:{number}", CHECK, 100.0) for number in range(50)}
    assert len(times) == 50
    assert all(100.0 <= when <= 101.0 for when in times)


def test_without_jitter_the_first_try_is_at_once() -> None:
    """A spread of nothing spreads nothing."""
    assert first_try("web:0", HealthCheck(CHECK.probe, jitter=0.0), 100.0) == 100.0


@given(st.floats(0, 1e6), st.floats(0.01, 1e4), st.floats(0, 1e4))
def test_nothing_is_known_for_long(first: float, interval: float, passed: float) -> None:
    """Once its first time has come an instance is looked at, however its clock reads: at once."""
    now = first + passed
    assert opening_try(first, interval, now, Health.UNKNOWN) == now
    assert opening_try(first, interval, first - 0.5, Health.UNKNOWN) == first
    assert opening_try(first, interval, now, Health.HEALTHY) == next_try(first, interval, now)


@given(
    st.floats(0, 1e6),
    st.floats(0.01, 1e4),
    st.floats(-1e4, 1e6),
)
def test_the_next_try_is_in_the_rhythm_and_to_come(
    first: float, interval: float, since: float
) -> None:
    """Never now or earlier, never more than an interval away, and always a multiple of it."""
    now = first + since
    when = next_try(first, interval, now)
    if now < first:
        assert when == first
    else:
        assert now < when <= now + interval * 1.000001 + 1e-6
        steps = (when - first) / interval
        assert abs(steps - round(steps)) < 1e-3
