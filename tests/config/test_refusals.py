"""Values that look harmless and are not, and keys that other supervisors have: each is refused,
with the word for what was meant.
"""

from collections.abc import Callable

import pytest

from supervisord_lite.config.compiler import Compiled

Compile = Callable[..., Compiled]
Refuse = Callable[..., tuple[str, ...]]


@pytest.mark.parametrize("size", ["0", "10", "4095", "0.5KiB"])
@pytest.mark.parametrize("form", ["{log: x, rotate: %s}", "{log: x, rotate: {size: %s}}"])
def test_a_rotation_at_every_line_is_refused(refused: Refuse, form: str, size: str) -> None:
    """A size that would rename the log all the time, and lose what it held, is no size."""
    (line,) = refused(f"workers: {{a: {{command: a, stdout: {form % size}}}}}")
    assert f'workers.a.stdout.rotate.size: cannot rotate at "{size}"' in line


def test_a_rotation_at_nothing_is_told_the_word_none(refused: Refuse) -> None:
    """Who writes 0, as for supervisord, means a log that is never rotated."""
    (line,) = refused("workers: {a: {command: a, stderr: {log: x, rotate: 0}}}")
    assert line.endswith('cannot rotate at "0" (write none for no rotation)')


def test_the_smallest_rotation_is_taken(compiled: Compile) -> None:
    """At 4 KiB and above a log rotates where it is told to."""
    (spec,) = compiled("workers: {a: {command: a, stdout: {rotate: 4KiB}}}").configuration.instances
    assert spec.stdout_log is not None
    assert spec.stdout_log.rotation.size == 4096


def test_every_bad_exit_code_is_reported_by_its_index(refused: Refuse) -> None:
    """A list with two mistakes gets two lines, each with the item's place."""
    text = "workers: {a: {command: a, restart: {success_codes: [256, 0, a]}}}"
    wanted = 'cannot read "{}" as a whole number from 0 to 255'
    assert refused(text) == (
        f"t.yaml:1:53: workers.a.restart.success_codes[0]: {wanted.format(256)}",
        f"t.yaml:1:61: workers.a.restart.success_codes[2]: {wanted.format('a')}",
    )


@pytest.mark.parametrize(("codes", "meant"), [("3", (3,)), ("[3, 0, 3]", (0, 3)), ("[]", ())])
def test_exit_codes_are_a_set(compiled: Compile, codes: str, meant: tuple[int, ...]) -> None:
    """One code needs no list, and neither order nor repetition means anything."""
    text = f"workers: {{a: {{command: a, restart: {{success_codes: {codes}}}}}}}"
    (spec,) = compiled(text).configuration.instances
    assert spec.restart.success_codes == meant


def test_a_start_that_is_good_at_once_is_refused(refused: Refuse) -> None:
    """Whatever ends at once would be followed by another run at once, for ever."""
    (line,) = refused("workers: {a: {command: a, restart: {stable_after: 0s}}}")
    assert line.endswith('cannot use "0s": it is too short (try 10ms or more)')


def test_a_ladder_without_rungs_is_refused(refused: Refuse) -> None:
    """An empty list is no way to stop anything: it would be KILL at once."""
    assert refused("workers: {b: {command: b, stop: []}}") == (
        "t.yaml:1:33: workers.b.stop: cannot be empty (write a wait, a signal, or a list of rungs)",
    )


@pytest.mark.parametrize(
    ("word", "ours"),
    [
        ("autorestart", "restart"),
        ("after", "depends_on"),
        ("cmd", "command"),
        ("cpus", "max_cpu"),
        ("cron", "schedule.cron"),
        ("cwd", "working_dir"),
        ("directory", "working_dir"),
        ("entrypoint", "command"),
        ("env", "environment"),
        ("envs", "environment"),
        ("exitcodes", "restart.success_codes"),
        ("liveness", "healthcheck"),
        ("mem_limit", "max_memory"),
        ("numprocs", "instances"),
        ("readiness", "ready"),
        ("redirect_stderr", "stderr: joined"),
        ("replicas", "instances"),
        ("scale", "instances"),
        ("startretries", "restart.limit"),
        ("startsecs", "restart.stable_after"),
        ("stdout_logfile", "stdout.log"),
        ("stdout_logfile_backups", "stdout.rotate.keep"),
        ("stdout_logfile_maxbytes", "stdout.rotate.size"),
        ("stop_grace_period", "stop"),
        ("stop_signal", "stop"),
        ("stopsignal", "stop"),
        ("stopwaitsecs", "stop"),
        ("workdir", "working_dir"),
    ],
)
def test_a_key_of_another_supervisor_is_translated(refused: Refuse, word: str, ours: str) -> None:
    """A worker's key in the words of supervisord or Compose is told ours."""
    (line,) = refused(f"workers: {{a: {{command: a, {word}: 1}}}}")
    assert line.endswith(f'cannot find a key named "{word}" (did you mean "{ours}"?)')


def test_replicas_below_deploy_are_instances(refused: Refuse) -> None:
    """The section of Compose that holds the number of instances leads to ours."""
    (line,) = refused("workers: {a: {command: a, deploy: {replicas: 3}}}")
    assert line.endswith('cannot find a key named "deploy" (did you mean "instances"?)')


@pytest.mark.parametrize("word", ["programs", "services"])
def test_a_section_of_another_supervisor_is_translated(refused: Refuse, word: str) -> None:
    """What others call the section of workers is told ours."""
    (line,) = refused(f"{word}: {{}}\nworkers: {{}}")
    assert line.endswith(f'cannot find a key named "{word}" (did you mean "workers"?)')


@pytest.mark.parametrize(
    ("word", "remark"),
    [
        ("priority", "what has to be up before it is said by depends_on"),
        ("process_name", "instances are named NAME:0, NAME:1 and so on"),
    ],
)
def test_a_key_without_counterpart_is_explained(refused: Refuse, word: str, remark: str) -> None:
    """Where nothing here does what the key does elsewhere, the refusal says so."""
    (line,) = refused(f"workers: {{a: {{command: a, {word}: 1}}}}")
    assert line.endswith(f'cannot find a key named "{word}" ({remark})')


def test_a_translation_fits_its_section(refused: Refuse) -> None:
    """A key is proposed only where it can stand; elsewhere the nearest spelling is."""
    (line,) = refused("workers: {a: {command: a, stop: [{stop_signal: INT}]}}")
    assert line.endswith('cannot find a key named "stop_signal" (did you mean "signal"?)')


def test_the_command_of_a_health_check_is_translated(refused: Refuse) -> None:
    """What Compose calls `test` is the probe `exec`."""
    first, second = refused("workers: {a: {command: a, healthcheck: {test: a}}}")
    assert "cannot be without a probe" in first
    assert second.endswith('cannot find a key named "test" (did you mean "exec"?)')


@pytest.mark.parametrize(
    ("file", "where"),
    [
        ("workers: {a: {command: a, retries: 3}}", "workers.a.healthcheck"),
        ("workers: {a: {command: a, interval: 3s}}", "workers.a.ready or workers.a.healthcheck"),
        (
            "workers: {a: {command: a, size: 1MiB}}",
            "workers.a.stdout.rotate or workers.a.stderr.rotate",
        ),
        ("workers: {a: {command: a, pre_start: x}}", "workers.a.hooks"),
        ("workers: {a: {command: a, nofile: 9}}", "workers.a.ulimits"),
        ("workers: {a: {command: a, wait: 3s}}", "workers.a.stop"),
        ("workers: {a: {command: a, restart: {retries: 3}}}", "workers.a.healthcheck"),
        ("workers: {a: {command: a, ulimits: {nofile: {user: x}}}}", "workers.a"),
        ("defaults: {retries: 3}\nworkers: {}", "defaults.healthcheck"),
        ("supervisor: {mode: 0600}\nworkers: {}", "supervisor.control"),
        ("instances: 3\nworkers: {}", "workers.NAME"),
        ("type: job\nworkers: {}", "channels.NAME or workers.NAME"),
    ],
)
def test_a_key_at_the_wrong_level_is_told_its_place(refused: Refuse, file: str, where: str) -> None:
    """A key that stands too high, too deep or beside its section is told where it belongs."""
    (line,) = refused(file)
    assert line.endswith(f"(it belongs under {where})")


@pytest.mark.parametrize(
    "file",
    ["workers: {a: {command: a, stop_deadline: 3s}}", "channels: {a: {type: pipe, user: x}}"],
)
def test_a_key_of_quite_another_thing_is_unknown(refused: Refuse, file: str) -> None:
    """What only the daemon has is no key of a worker, and what a worker has none of a channel."""
    assert all("it belongs" not in line for line in refused(file))


@pytest.mark.parametrize("path", ["user", "group"])
def test_an_id_without_an_account_is_refused(refused: Refuse, path: str) -> None:
    """An id is looked up as a name is, and the refusal says that it was looked for as either."""
    (line,) = refused(f"workers: {{a: {{command: a, {path}: 3141592}}}}")
    assert line.endswith(f'.{path}: cannot find a {path} with the name or id "3141592"')
