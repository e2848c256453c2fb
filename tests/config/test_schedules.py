"""Jobs and their schedules."""

import subprocess
import sys
from collections.abc import Callable

import pytest

from supervisord_lite.config.compiler import Compiled
from supervisord_lite.core.schedule import Missed, Overlap, Schedule
from supervisord_lite.core.spec import Kind, When

Compile = Callable[..., Compiled]
Refuse = Callable[..., tuple[str, ...]]


def schedule(compiled: Compiled) -> Schedule | None:
    (spec,) = compiled.configuration.instances
    assert spec.kind is Kind.JOB
    return spec.schedule


@pytest.mark.parametrize("form", ["'0 3 * * *'", "{cron: '0  3 * * * '}"])
def test_a_text_is_a_line_of_cron(compiled: Compile, form: str) -> None:
    """The short form and the long one are the same, and so is any number of blanks."""
    found = compiled(f"workers: {{a: {{command: a, type: job, schedule: {form}}}}}")
    assert schedule(found) == Schedule(cron="0 3 * * *")


def test_a_schedule_has_its_rules(compiled: Compile) -> None:
    """Every key of a schedule arrives."""
    keys = "every: 1h30m, timezone: Europe/Berlin, overlap: replace, missed: run-once"
    found = compiled(f"workers: {{a: {{command: a, type: job, schedule: {{{keys}}}}}}}")
    rules = (Overlap.REPLACE, Missed.RUN_ONCE)
    assert schedule(found) == Schedule(None, 5400.0, "Europe/Berlin", *rules)


@pytest.mark.parametrize(
    "line", ["*/5 * * * *", "0 7 * * MON-FRI", "0 0 L * *", "0 0 29 2 *", "*/10 * * * * *"]
)
def test_lines_of_cron_are_taken(compiled: Compile, line: str) -> None:
    """Names, steps, the last day, leap days, and seconds in front."""
    found = compiled(f"workers: {{a: {{command: a, type: job, schedule: '{line}'}}}}")
    assert schedule(found) == Schedule(cron=line)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "workers.a: cannot be without a schedule (a job needs cron or every)"),
        (", schedule: {overlap: skip}", "cannot be without times (write cron or every)"),
        (", schedule: {cron: '* * * * *', every: 1h}", "cannot have every beside cron"),
        (", schedule: '1h'", "wrong number of fields (try every: 1h)"),
        (", schedule: daily", 'wrong number of fields (try "0 3 * * *")'),
        (", schedule: '61 * * * *'", "bad minute (minute hour day month weekday)"),
        (", schedule: '0 0 30 2 *'", 'cannot read "0 0 30 2 *" as a line of cron'),
        (", schedule: '0 0 LW 2 1#5,x'", "bad day-of-week"),
        (", schedule: {every: 0s}", "it is too short"),
        (", schedule: {every: 1h, timezone: Europe/Berln}", '(did you mean "Europe/Berlin"?)'),
        (", schedule: {every: 1h, timezone: America}", 'cannot find a time zone named "America"'),
        (", schedule: {every: 1h, timezone: ../../etc/passwd}", "cannot find a time zone named"),
        (", schedule: {every: 1h, overlap: quue}", '(did you mean "queue"?)'),
        (", schedule: {every: 1h}, restart: always", "cannot restart a job always"),
    ],
)
def test_a_job_that_is_none_is_refused(refused: Refuse, text: str, problem: str) -> None:
    """Each mistake in a job is one line."""
    (line,) = refused(f"workers: {{a: {{command: a, type: job{text}}}}}")
    assert problem in line


@pytest.mark.parametrize("kind", ["service", "task"])
def test_only_jobs_have_schedules(refused: Refuse, kind: str) -> None:
    """What runs for ever, or once, has no times."""
    (line,) = refused(f"workers: {{a: {{command: a, type: {kind}, schedule: {{every: 1h}}}}}}")
    assert line.endswith(f"workers.a.schedule: cannot schedule a {kind} (write type: job)")


def test_a_job_is_not_run_again_by_itself(compiled: Compile) -> None:
    """Its schedule brings the next run, also where services are always restarted."""
    text = """
    defaults: {restart: always}
    workers: {a: {command: a, type: job, schedule: {every: 1h}}}
    """
    (spec,) = compiled(text).configuration.instances
    assert spec.restart.when is When.NEVER


def test_a_default_time_zone_is_for_jobs(compiled: Compile) -> None:
    """`defaults` can say where the clock hangs without scheduling anybody."""
    text = """
    defaults: {schedule: {timezone: Asia/Tokyo}}
    workers: {a: {command: a, type: job, schedule: "0 3 * * *"}, b: {command: b}}
    """
    job, service = compiled(text).configuration.instances
    assert job.schedule == Schedule(cron="0 3 * * *", timezone="Asia/Tokyo")
    assert service.schedule is None


def test_a_worker_chooses_between_cron_and_every(compiled: Compile) -> None:
    """Its own way of naming times takes the place of the one in `defaults`."""
    text = """
    defaults: {type: job, schedule: {cron: "0 3 * * *", missed: run-once}}
    workers: {a: {command: a, schedule: {every: 5m}}}
    """
    assert schedule(compiled(text)) == Schedule(every=300.0, missed=Missed.RUN_ONCE)


def test_what_a_file_does_not_use_is_not_imported(compiled: Compile) -> None:
    """A file without jobs and patterns does not pay for the libraries that know them."""
    compiled("workers: {a: {command: a}}")
    program = (
        "import sys; from supervisord_lite.config.compiler import compile_files;"
        "compile_files(['t.yaml']); print([m for m in ('re2', 'cronsim') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "[]\n"
