"""`schedule`: the typed section to a value of `core.schedule`, its times and time zone tried."""

from datetime import datetime
from functools import cache

from supervisord_lite.config import values
from supervisord_lite.config.errors import quoted, suggestion
from supervisord_lite.config.lifecycle import Schedule as ScheduleSection
from supervisord_lite.config.place import Place
from supervisord_lite.core.schedule import Schedule
from supervisord_lite.core.spec import Kind


def schedule_of(section: ScheduleSection | None, kind: Kind, place: Place) -> Schedule | None:
    """The schedule of the worker at `place`, which a job has and nothing else."""
    if kind is not Kind.JOB:
        if section is not None:
            place.within("schedule").refuse(f"cannot schedule a {kind} (write type: job)")
        return None
    if section is None:
        if not place.is_given("schedule"):
            place.refuse("cannot be without a schedule (a job needs cron or every)")
        return None
    place = place.within("schedule")
    given = section.given()
    if "cron" in given and "every" in given:
        place.within("every").refuse("cannot have every beside cron (one of them)")
    elif "cron" in given:
        given["cron"] = " ".join(given["cron"].split())
        _refuse(_cron_problem(given["cron"]), place.within("cron"))
    elif "every" not in given and not (place.is_given("cron") or place.is_given("every")):
        place.refuse("cannot be without times (write cron or every)")
    if "timezone" in given:
        _refuse(_timezone_problem(given["timezone"]), place.within("timezone"))
    return Schedule(**given)


def _refuse(problem: str, place: Place) -> None:
    if problem:
        place.refuse(problem)


@cache
def _cron_problem(line: str) -> str:
    from cronsim import CronSim, CronSimError

    try:
        first = next(CronSim(line, datetime(2000, 1, 1)), None)  # noqa: DTZ001 -- any time serves
    except CronSimError as error:
        return f"cannot read {quoted(line)} as a line of cron: {str(error).lower()}{_hint(line)}"
    return "" if first else f"cannot find any day for {quoted(line)}"


def _hint(line: str) -> str:
    if len(line.split()) > 1:
        return " (minute hour day month weekday)"
    try:
        values.duration(line)
    except ValueError:
        return ' (try "0 3 * * *")'
    return f" (try every: {line})"


@cache
def _timezone_problem(name: str) -> str:
    import zoneinfo

    try:
        zoneinfo.ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown, no name at all, a directory of names
        known = zoneinfo.available_timezones()
        return f"cannot find a time zone named {quoted(name)}{suggestion(name, known)}"
    return ""
