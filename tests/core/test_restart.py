from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisord_lite.core.restart import (
    Again,
    Done,
    GiveUp,
    Verdict,
    after_exit,
    delay,
    failed_start,
    window,
)
from supervisord_lite.core.spec import Kind, RestartLimit, RestartPolicy, When
from supervisord_lite.core.state import Exit, Instance, Stopped

from .make import FAILED, WELL, instance, spec

KILLED = Exit(signal=9)
NO_JITTER = RestartPolicy(jitter=0.0)


def of(policy: RestartPolicy, kind: Kind = Kind.SERVICE, **fields: object) -> Instance:
    return instance(Stopped(), spec(restart=policy, kind=kind), **fields)


def test_a_stable_service_is_restarted_at_once() -> None:
    """A run of at least `stable_after` is followed by another without delay, attempts cleared."""
    tried = of(NO_JITTER, attempts=3, failures=(90.0,))
    assert after_exit(tried, FAILED, 1.0, 100.0) == Again(100.0, 0, (90.0,))
    assert after_exit(tried, WELL, 1.0, 100.0) == Again(100.0, 0, (90.0,))


@pytest.mark.parametrize("status", [WELL, FAILED, KILLED, Exit()])
def test_a_short_run_of_a_service_is_a_failed_start(status: Exit) -> None:
    """A service that does not stay up has failed to start, exit 0 too."""
    assert after_exit(of(NO_JITTER), status, 0.99, 100.0) == Again(100.1, 1, (100.0,))


@pytest.mark.parametrize("length", [0.0, 3600.0])
def test_a_task_that_succeeds_is_done(length: float) -> None:
    """A success code ends a task, however long it took."""
    assert after_exit(of(NO_JITTER, Kind.TASK), WELL, length, 100.0) == Done()


@pytest.mark.parametrize("status", [FAILED, KILLED])
def test_a_task_that_fails_is_tried_again(status: Exit) -> None:
    """A task's run without success is a failed start at any length."""
    assert after_exit(of(NO_JITTER, Kind.TASK), status, 3600.0, 100.0) == Again(100.1, 1, (100.0,))


def test_success_codes_are_the_workers_own() -> None:
    """What counts as success is configured."""
    policy = replace(NO_JITTER, success_codes=(0, 3))
    assert after_exit(of(policy, Kind.TASK), Exit(3), 5.0, 100.0) == Done()


@pytest.mark.parametrize(
    ("when", "status", "expected"),
    [
        (When.ALWAYS, WELL, Again(100.0, 0, ())),
        (When.ON_FAILURE, WELL, Done()),
        (When.ON_FAILURE, FAILED, Again(100.0, 0, ())),
        (When.ON_FAILURE, KILLED, Again(100.0, 0, ())),
        (When.ON_FAILURE, Exit(), Again(100.0, 0, ())),
        (When.NEVER, FAILED, Done()),
        (When.NEVER, KILLED, Done()),
    ],
)
def test_when_decides_about_stable_runs(when: When, status: Exit, expected: Verdict) -> None:
    """`when` says which exits are followed by another run; a signal is a failure."""
    assert after_exit(of(replace(NO_JITTER, when=when)), status, 60.0, 100.0) == expected


def test_never_means_never_for_short_runs_too() -> None:
    """Without restarts a failed start is the end."""
    assert after_exit(of(replace(NO_JITTER, when=When.NEVER)), FAILED, 0.0, 100.0) == Done()


def test_a_failed_spawn_is_not_tried_again_where_nothing_is() -> None:
    """Without restarts a failed spawn is the end, and its reason is shown."""
    never = of(replace(NO_JITTER, when=When.NEVER))
    assert failed_start(never, "cannot fork", 100.0) == GiveUp("cannot fork", ())


def test_the_limit_ends_in_words() -> None:
    """The failed start that reaches the limit is the last, and the reason says so."""
    policy = replace(NO_JITTER, limit=RestartLimit(3, 60.0))
    tried = of(policy, failures=(50.0, 90.0))
    verdict = failed_start(tried, "exit code 1", 100.0)
    assert verdict == GiveUp("3 failed starts within 1m, last: exit code 1", (50.0, 90.0, 100.0))


def test_failures_leave_the_window() -> None:
    """A failed start older than the window does not count."""
    policy = replace(NO_JITTER, limit=RestartLimit(3, 60.0))
    tried = of(policy, failures=(39.0, 90.0))
    assert failed_start(tried, "exit code 1", 100.0) == Again(100.1, 1, (90.0, 100.0))


def test_without_a_limit_nothing_is_counted() -> None:
    """Trying for ever does not gather memory."""
    endless = of(replace(NO_JITTER, limit=None), failures=(1.0, 2.0), attempts=5000)
    assert failed_start(endless, "exit code 1", 100.0) == Again(130.0, 5001, ())


def test_an_explicit_delay_of_zero_is_honoured() -> None:
    """No delay stays no delay, however often it has failed."""
    policy = RestartPolicy(delay=0.0, limit=None)
    assert delay(policy, "web:0", 7, 5000) == 0.0


def test_jitter_differs_between_instances_and_runs_and_is_reproducible() -> None:
    """The spread is a hash of name and run: no two move in step, and a replay is exact."""
    policy = RestartPolicy(jitter=0.5)
    drawn = {delay(policy, name, run, 2) for name in ("web:0", "web:1") for run in (1, 2)}
    assert len(drawn) == 4
    assert delay(policy, "web:0", 1, 2) == delay(policy, "web:0", 1, 2)


@given(
    st.floats(0.001, 60.0),
    st.floats(1.0, 10.0),
    st.floats(0.0, 1.0),
    st.integers(0, 10_000),
    st.integers(1, 10**9),
)
def test_delays_stay_between_the_promise_and_the_cap(
    first: float, factor: float, jitter: float, attempts: int, run: int
) -> None:
    """No delay is shorter than configured, none is longer than `max_delay`."""
    policy = RestartPolicy(delay=first, factor=factor, max_delay=60.0, jitter=jitter)
    assert first <= delay(policy, "web:0", run, attempts) <= 60.0


@given(st.lists(st.floats(0.0, 100.0), max_size=60), st.integers(1, 6), st.floats(0.5, 50.0))
def test_no_window_holds_more_retries_than_the_limit(
    gaps: list[float], count: int, within: float
) -> None:
    """However failures are spread, fewer than `count` within any window are followed by a try."""
    policy = replace(NO_JITTER, limit=RestartLimit(count, within))
    now, tried = 0.0, of(policy)
    retried: list[float] = []
    for gap in gaps:
        now += gap
        verdict = failed_start(tried, "exit code 1", now)
        if isinstance(verdict, GiveUp):
            tried = of(policy)
            retried = []
            continue
        tried = replace(tried, attempts=verdict.attempts, failures=verdict.failures)
        retried.append(now)
        assert sum(1 for time in retried if now - time <= within) < count


@given(st.lists(st.floats(0.0, 1000.0)).map(sorted), st.floats(0.0, 500.0))
def test_the_window_keeps_exactly_what_counts(times: list[float], within: float) -> None:
    """The window is the failures of the last `within` seconds and the one now."""
    kept = window(tuple(times), RestartLimit(5, within), 1000.0)
    assert kept == (*(time for time in times if 1000.0 - time <= within), 1000.0)
