"""The arithmetic of schedules, against a brute-force reading of the calendar and by examples."""

from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import example, given, settings
from hypothesis import strategies as st

from supervisord_lite.core.schedule import (
    CORRECTION,
    COUNTED,
    GRACE,
    Reckoning,
    Schedule,
    Timetable,
    following,
    is_fixed,
    plan_next,
    reckon,
)

BERLIN = ZoneInfo("Europe/Berlin")
NEW_YORK = ZoneInfo("America/New_York")
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")  # half an hour of daylight saving time
HOUR, DAY = 3600.0, 86400.0

# The evening before each transition of 2024, in local time.
EVES: list[tuple[ZoneInfo, str]] = [
    (BERLIN, "2024-03-30T18:00:00"),
    (BERLIN, "2024-10-26T18:00:00"),
    (NEW_YORK, "2024-03-09T18:00:00"),
    (NEW_YORK, "2024-11-02T18:00:00"),
    (LORD_HOWE, "2024-04-06T18:00:00"),
    (LORD_HOWE, "2024-10-05T18:00:00"),
    (ZoneInfo("UTC"), "2024-03-30T18:00:00"),
]
minutes = st.sampled_from(["0", "30", "15,45", "59", "*", "*/20", "*/7", "10-20/5"])
hours = st.sampled_from(["0", "1", "2", "3", "1-3", "*", "*/2", "*/3", "0-4/2"])
days = st.sampled_from(["* * *", "* * *", "* * SUN", "31 * *", "L * *", "1 4,10,11 *"])
expressions = st.tuples(minutes, hours, days).map(" ".join)


def cron(expression: str) -> Schedule:
    return Schedule(cron=expression)


def at(text: str, zone: tzinfo = UTC, fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold).timestamp()


def shown(instant: float | None, zone: tzinfo) -> str:
    assert instant is not None
    return datetime.fromtimestamp(instant, zone).isoformat()


def several(schedule: Schedule, after: float, zone: tzinfo, until: float) -> list[float]:
    found = []
    while (moment := following(schedule, after, zone)) is not None and moment <= until:
        found.append(moment)
        after = moment
    return found


def by_brute_force(expression: str, after: float, zone: tzinfo, until: float) -> list[float]:
    """Watch the clock minute by minute. Fixed lines keep a list of what they have run, and catch
    up with what the clock has leapt over.
    """
    fixed = is_fixed(cron(expression))

    def matches(local: datetime) -> bool:
        before = datetime.fromtimestamp(local.replace(tzinfo=UTC).timestamp() - 60, UTC)
        return next(CronSim(expression, before.replace(tzinfo=None))) == local

    def clock(instant: float) -> datetime:
        return datetime.fromtimestamp(instant, zone).replace(tzinfo=None, fold=0)

    start = at("2024-01-01", UTC) + (after - at("2024-01-01", UTC)) // 60 * 60
    newest, found = clock(start - 6 * HOUR), []
    instant = start - 6 * HOUR
    while instant <= until:
        local = clock(instant)
        candidates = [local]
        if fixed:
            leapt = int((local - newest).total_seconds() // 60)
            candidates = [clock_minus(local, back) for back in range(leapt)]
            newest = max(newest, local)
        if any(matches(one) for one in candidates) and instant > after:
            found.append(instant)
        instant += 60
    return found


def clock_minus(local: datetime, minutes: int) -> datetime:
    back = local.replace(tzinfo=UTC).timestamp() - 60 * minutes
    return datetime.fromtimestamp(back, UTC).replace(tzinfo=None)


# --------------------------------------------------------------------------- the calendar


@settings(max_examples=60, deadline=None)
@given(expressions, st.sampled_from(EVES), st.integers(0, 9 * 3600))
@example("0 */2 * * *", EVES[4], 0)
@example("15 */3 * * *", EVES[5], 0)
@example("30 2 * * *", EVES[0], 0)
@example("30 2 * * *", EVES[1], 8 * 3600 + 1800)
def test_occurrences_are_those_of_the_calendar(
    expression: str, eve: tuple[ZoneInfo, str], later: int
) -> None:
    """Around every transition of every zone, what is found is what minute-by-minute watching
    finds.
    """
    zone, local = eve
    after = at(local, zone) + later
    until = after + 14 * HOUR
    expected = by_brute_force(expression, after, zone, until)
    assert several(cron(expression), after, zone, until) == expected


@settings(max_examples=200, deadline=None)
@given(expressions, st.sampled_from(EVES), st.floats(-DAY, 400 * DAY))
def test_what_follows_lies_ahead_and_is_near(
    expression: str, eve: tuple[ZoneInfo, str], later: float
) -> None:
    """The next occurrence lies strictly ahead, and asking from anywhere before gives the same."""
    zone, local = eve
    after = at(local, zone) + later
    moment = following(cron(expression), after, zone)
    assert moment is not None
    assert moment > after
    assert following(cron(expression), min((after + moment) / 2, moment - 0.001), zone) == moment
    assert following(cron(expression), moment - 0.001, zone) == moment


def test_a_fixed_time_that_is_left_out_is_run_at_the_end_of_the_gap() -> None:
    """02:30 does not exist on the last Sunday of March in Berlin: 03:00 stands for it, once."""
    schedule, night = cron("30 2 * * *"), at("2024-03-31T01:59:00", BERLIN)
    first = following(schedule, night, BERLIN)
    assert shown(first, BERLIN) == "2024-03-31T03:00:00+02:00"
    assert first is not None
    assert shown(following(schedule, first, BERLIN), BERLIN) == "2024-04-01T02:30:00+02:00"


def test_a_fixed_time_that_comes_twice_is_run_the_first_time() -> None:
    """02:30 comes twice in October, and counts in summer time only."""
    schedule = cron("30 2 * * *")
    first = following(schedule, at("2024-10-27T01:00:00", BERLIN), BERLIN)
    assert shown(first, BERLIN) == "2024-10-27T02:30:00+02:00"
    between = at("2024-10-27T02:10:00", BERLIN, fold=1)
    assert shown(following(schedule, between, BERLIN), BERLIN) == "2024-10-28T02:30:00+01:00"


def test_a_frequent_line_goes_by_what_the_clock_shows() -> None:
    """Half past every hour: not in the gap, and twice in the hour that comes twice."""
    schedule = cron("30 * * * *")
    spring, autumn = at("2024-03-31T01:00:00", BERLIN), at("2024-10-27T02:00:00", BERLIN)
    found = several(schedule, spring, BERLIN, spring + 3 * HOUR)
    assert [shown(one, BERLIN)[11:16] for one in found] == ["01:30", "03:30", "04:30"]
    found = several(schedule, autumn, BERLIN, autumn + 3 * HOUR)
    assert [shown(one, BERLIN)[11:] for one in found] == [
        "02:30:00+02:00",
        "02:30:00+01:00",
        "03:30:00+01:00",
    ]


def test_a_frequent_line_of_one_day_runs_in_both_hours_that_have_its_name() -> None:
    """Also where the next time by the lines alone would be a year away."""
    schedule = cron("*/30 1 3 11 *")
    first = following(schedule, at("2024-11-03T01:00:00", NEW_YORK), NEW_YORK)
    assert shown(first, NEW_YORK) == "2024-11-03T01:30:00-04:00"
    assert first is not None
    assert shown(following(schedule, first, NEW_YORK), NEW_YORK) == "2024-11-03T01:00:00-05:00"


@pytest.mark.parametrize("expression", ["0 0 30 2 *", "* * 30 2 *", "0 0 31 4,6 *"])
def test_a_day_that_never_comes_has_no_occurrence(expression: str) -> None:
    """The 30th of February is no error: there is nothing to wait for."""
    assert following(cron(expression), at("2024-01-01T00:00:00"), UTC) is None
    assert plan_next(cron(expression), None, at("2024-01-01T00:00:00"), 5.0, UTC) is None


def test_seconds_may_be_named() -> None:
    """With six fields the first one is of seconds."""
    begin = at("2024-01-01T00:00:00")
    found = several(cron("*/25 * * * * *"), begin, UTC, begin + 70)
    assert found == [begin + second for second in (25, 50, 60)]


# --------------------------------------------------------------------------- by the wall clock

THREE = cron("0 3 * * *")
MINUTELY = cron("* * * * *")
BEGAN = at("2024-06-01T00:00:00")


def planned(schedule: Schedule, wall: float = BEGAN, now: float = 1000.0) -> Timetable:
    table = plan_next(schedule, None, wall, now, UTC)
    assert table is not None
    return table


def reckoned(schedule: Schedule, table: Timetable, passed: float, jumped: float = 0) -> Reckoning:
    """The reckoning after `passed` seconds in which the wall clock was set by `jumped` more."""
    return reckon(schedule, table, BEGAN + passed + jumped, 1000.0 + passed, UTC)


def test_a_plan_names_the_time_on_both_clocks() -> None:
    """The next occurrence, and how far away it is."""
    assert planned(THREE) == Timetable(BEGAN + 3 * HOUR, 1000.0 + 3 * HOUR)


def test_an_alarm_in_time_makes_it_due() -> None:
    """At its time, with what lies between two readings of a clock, the occurrence is due."""
    for error in (0.0, -1e-6, 1e-6, 5.0):
        due, missed, table = reckoned(THREE, planned(THREE), 3 * HOUR, error)
        assert (due, missed) == (True, 0)
        assert table is not None
        assert table.next == BEGAN + DAY + 3 * HOUR


def test_an_early_alarm_changes_nothing() -> None:
    """Long before its time the very same timetable comes back."""
    table = planned(THREE)
    reckoning = reckoned(THREE, table, HOUR)
    assert not reckoning.due
    assert reckoning.timetable is table


@pytest.mark.parametrize(("late", "due"), [(GRACE, True), (GRACE + 1, False)])
def test_an_occurrence_is_on_time_for_a_minute(late: float, due: bool) -> None:
    """Noticed within the grace it is due, later it is missed."""
    reckoning = reckoned(THREE, planned(THREE), 3 * HOUR + late)
    assert reckoning[:2] == (due, 0 if due else 1)


def test_the_machine_slept() -> None:
    """Three nights asleep are three missed times and one coming one."""
    due, missed, table = reckoned(THREE, planned(THREE), 10.0, 2 * DAY + 9 * HOUR)
    assert (due, missed) == (False, 3)
    assert table == Timetable(BEGAN + 3 * DAY + 3 * HOUR, 1010.0 + 18 * HOUR - 10.0)


def test_what_is_due_stands_for_what_was_missed() -> None:
    """The last occurrence is on time; those before it are counted beside it."""
    due, missed, _ = reckoned(MINUTELY, planned(MINUTELY), 600.0, 0.5)
    assert (due, missed) == (True, 9)


def test_a_leap_of_fifty_years_is_reckoned_at_once() -> None:
    """A machine without a clock of its own learns the time: nobody counts all minutes."""
    due, missed, table = reckoned(MINUTELY, planned(MINUTELY), 10.0, 50 * 365 * DAY)
    assert due
    assert COUNTED <= missed <= 2 * COUNTED
    assert table is not None
    assert 0 < table.until - 1010.0 <= 60.0


def test_a_clock_set_back_repeats_no_fixed_time() -> None:
    """03:00 has had its run; two hours back it is 03:00 again, and nothing is due."""
    ran = reckoned(THREE, planned(THREE), 3 * HOUR).timetable
    assert ran is not None
    back = reckoned(THREE, ran, 3 * HOUR + 60, -2 * HOUR)
    assert back[:2] == (False, 0)
    assert back.timetable == Timetable(ran.next, ran.until + 2 * HOUR)
    again = reckoned(THREE, back.timetable, 5 * HOUR + 30, -2 * HOUR)
    assert again[:2] == (False, 0)


def test_a_clock_set_back_does_not_halt_what_runs_frequently() -> None:
    """A minutely job goes by the new time at once."""
    ran = reckoned(MINUTELY, planned(MINUTELY), HOUR).timetable
    assert ran is not None
    back = reckoned(MINUTELY, ran, HOUR + 10, -HOUR)
    assert back == (False, 0, Timetable(BEGAN + 60, 1000.0 + HOUR + 60))


def test_a_clock_that_was_wrong_counts_no_more() -> None:
    """Set back by more than three hours, the new time counts, as cron has it."""
    ran = reckoned(THREE, planned(THREE), 3 * HOUR).timetable
    assert ran is not None
    back = reckoned(THREE, ran, 3 * HOUR + 60, -3 * HOUR - 61)
    assert back == (False, 0, Timetable(BEGAN + 3 * HOUR, 1000.0 + 6 * HOUR + 61))


def test_queued_runs_stay_with_the_timetable() -> None:
    """What is queued, and that the schedule is off, are not the clocks' business."""
    table = Timetable(BEGAN + 3 * HOUR, 1000.0 + 3 * HOUR, queued=2)
    after = reckoned(THREE, table, 3 * HOUR).timetable
    assert after == Timetable(BEGAN + 27 * HOUR, 1000.0 + 27 * HOUR, queued=2)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["0 3 * * *", "30 2 * * *", "*/20 * * * *", "15 */2 * * *", "0 12 * * *"]),
    st.sampled_from(EVES),
    st.lists(st.tuples(st.floats(1.0, 8 * HOUR), st.floats(-CORRECTION, 6 * HOUR)), max_size=6),
)
def test_no_fixed_occurrence_is_run_twice(
    expression: str, eve: tuple[ZoneInfo, str], jumps: list[tuple[float, float]]
) -> None:
    """Whatever the clock does within cron's bounds: a fixed occurrence has one run or is missed,
    exactly once, in order, and none that the clock has passed is left out.
    """
    zone, local = eve
    schedule = cron(expression)
    offset = at(local, zone) - 1000.0
    now, begin = 1000.0, 1000.0 + offset
    table = plan_next(schedule, None, begin, now, zone)
    runs: list[float] = []
    accounted, furthest = 0, begin
    for length, jump in [*jumps, (1.0, 0.0)]:
        end = now + length
        while table is not None and table.until <= end:
            now, occurrence = max(now, table.until), table.next
            furthest = max(furthest, now + offset)
            due, missed, table = reckon(schedule, table, now + offset, now, zone)
            assert (due, missed) == (True, 0), "an alarm in time"
            runs.append(occurrence)
            accounted += 1
        now, offset = end, offset + jump
        assert table is not None
        due, missed, table = reckon(schedule, table, now + offset, now, zone)
        furthest = max(furthest, end + offset, end + offset - jump)
        accounted += due + missed
        assert table is not None
        assert table.until > now
        assert table.next > now + offset
    if is_fixed(schedule):
        assert runs == sorted(set(runs))
        assert accounted == len(several(schedule, begin, zone, furthest))


# --------------------------------------------------------------------------- every so often

HOURLY = Schedule(every=HOUR)


def test_every_begins_one_period_from_now() -> None:
    """The first time is a period away, on either clock."""
    assert planned(HOURLY) == Timetable(BEGAN + HOUR, 1000.0 + HOUR)


def test_every_is_anchored() -> None:
    """An alarm that is late does not move the times that follow."""
    due, missed, table = reckoned(HOURLY, planned(HOURLY), HOUR + 20)
    assert (due, missed) == (True, 0)
    assert table == Timetable(BEGAN + 2 * HOUR, 1000.0 + 2 * HOUR)


@pytest.mark.parametrize("jump", [-50 * DAY, -HOUR, 90.0, 7 * HOUR, 20000 * DAY])
def test_no_jump_concerns_every(jump: float) -> None:
    """Only what is shown as the next time moves with the wall clock."""
    due, missed, table = reckoned(HOURLY, planned(HOURLY), 10.0, jump)
    assert (due, missed) == (False, 0)
    assert table is not None
    assert table.until == 1000.0 + HOUR
    assert table.next == pytest.approx(BEGAN + HOUR + jump)


def test_every_counts_what_nobody_was_there_for() -> None:
    """A manager that was away for a day has missed what it did not notice within the grace."""
    assert reckoned(HOURLY, planned(HOURLY), DAY + 30)[:2] == (True, 23)
    assert reckoned(HOURLY, planned(HOURLY), DAY + 300)[:2] == (False, 24)


@settings(max_examples=300)
@given(st.floats(0.01, 1e5), st.lists(st.floats(0.0, 1e6), max_size=8))
def test_every_never_drifts(every: float, naps: list[float]) -> None:
    """However late it is looked at: the next time lies ahead, by a period at most, and all times
    that have passed are accounted for.
    """
    schedule, now = Schedule(every=every), 1000.0
    table = plan_next(schedule, None, BEGAN, now, UTC)
    accounted = 0
    for nap in naps:
        now += nap
        assert table is not None
        due, missed, table = reckon(schedule, table, BEGAN, now, UTC)
        accounted += due + missed
        assert table is not None
        assert now < table.until <= now + every * (1 + 1e-6) + 1e-6
    assert table is not None
    assert table.until == pytest.approx(1000.0 + (accounted + 1) * every, abs=1e-3)
