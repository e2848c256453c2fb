"""Where output goes beyond its own file: whose lines are meant, what sets what aside."""

import importlib.util
import json
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from supervisord_lite.config import values
from supervisord_lite.config.compiler import Compiled, compile_files
from supervisord_lite.core.log import Compression, Format, Log, OwnLog, RateLimit, Rotation, View

Compile = Callable[..., Compiled]
Refuse = Callable[..., tuple[str, ...]]
Write = Callable[..., None]


def log_of(compiled: Compiled, worker: str = "a") -> Log:
    specs = {spec.worker: spec for spec in compiled.configuration.instances}
    log = specs[worker].stdout_log
    assert log is not None
    return log


def test_what_is_not_said_is_as_in_the_core(compiled: Compile) -> None:
    """The defaults of logs and outlets have one home."""
    plain = compiled("workers: {a: {command: a}}")
    assert log_of(plain) == Log(log_of(plain).path)
    assert plain.configuration.outlets.own == OwnLog()
    assert plain.configuration.outlets.taps == ()
    assert plain.configuration.outlets.forwards == ()


def test_direct_in_a_worker_sets_defaults_aside(compiled: Compile) -> None:
    """What `defaults` say about output that goes through us is not meant for one whose does not."""
    text = """
    defaults: {stdout: {format: json, rotate: 1MiB, rate_limit: {lines: 1}, max_line: 1KiB}}
    workers: {a: {command: a, stdout: {direct: true}}, b: {command: b}}
    """
    both = compiled(text)
    direct, other = log_of(both), log_of(both, "b")
    assert (direct.direct, direct.format, direct.rotation) == (True, Format.RAW, Rotation())
    assert (direct.rate_limit, direct.max_line) == (None, 1024)
    assert (other.direct, other.format, other.rate_limit) == (False, Format.JSON, RateLimit(1))


def test_what_is_done_to_output_sets_direct_aside(compiled: Compile) -> None:
    """And the other way about: who asks for a format wants to have it."""
    text = """
    defaults: {stdout: {direct: true}}
    workers: {a: {command: a, stdout: {format: json}}, b: {command: b, stdout: {direct: false}}}
    """
    both = compiled(text)
    assert [log_of(both, worker).direct for worker in "ab"] == [False, False]


def test_an_overlay_keeps_what_it_does_not_name(write: Write) -> None:
    """A tap's path stays when only its format is given, and a short form is a path."""
    write(
        {
            "a.yaml": "workers: {a: {command: a, stdout: {tap: x.fifo}}}\ntaps: {t: t.fifo}",
            "b.yaml": "workers: {a: {stdout: {tap: {format: json}}}}\ntaps: {t: {stream: stdout}}",
        }
    )
    found = compile_files(["a.yaml", "b.yaml"], {})
    assert (log_of(found).tap, log_of(found).tap_view) == (str(Path.cwd() / "x.fifo"), View.JSON)
    (tap,) = found.configuration.outlets.taps
    assert (Path(tap.path).name, tap.of.stream) == ("t.fifo", "stdout")


def test_two_included_files_cannot_both_declare_a_tap(write: Write) -> None:
    """They are equals: neither may change the other's things."""
    tap = "taps: {t: t.fifo}\n"
    write({"t.yaml": "include: [a.yaml, b.yaml]\nworkers: {a: {command: a}}"})
    write({"a.yaml": tap, "b.yaml": tap})
    with pytest.raises(Exception, match=r'cannot give "t" twice'):
        compile_files(["t.yaml"], {})


def test_a_selector_chooses_workers_by_their_instances(compiled: Compile) -> None:
    """A label that differs between instances chooses the worker if any of them has it; a worker
    without instances is chosen by what its first would have.
    """
    text = """
    taps: {t: {path: t.fifo, select: "slot=1"}, none: {path: n.fifo, select: "slot=0"}}
    workers:
      a: {command: a, instances: 2, labels: {slot: "{instance}"}, stdout: "{instance}.log"}
      b: {command: b, instances: 0, labels: {slot: "{instance}"}}
      c: {command: c}
    """
    slot, none = compiled(text).configuration.outlets.taps
    assert (slot.of.workers, none.of.workers) == (("a",), ("a", "b"))


def test_names_and_a_selector_mean_what_both_mean(compiled: Compile) -> None:
    """In the order of the file, whatever the order of the names."""
    text = """
    taps: {t: {path: t.fifo, workers: [c, b, a], select: "x!=1"}}
    workers: {a: {command: a}, b: {command: b, labels: {x: "1"}}, c: {command: c}}
    """
    (tap,) = compiled(text).configuration.outlets.taps
    assert tap.of.workers == ("a", "c")


def test_of_a_stream_only_those_who_have_it(compiled: Compile) -> None:
    """Without names, a worker whose stderr has no log of its own is passed over."""
    text = """
    taps: {t: {path: t.fifo, stream: stderr}}
    workers: {a: {command: a}, b: {command: b, stderr: b.err}}
    """
    (tap,) = compiled(text).configuration.outlets.taps
    assert tap.of.workers == ("b",)


def test_a_tap_of_nothing_is_a_mistake(refused: Refuse) -> None:
    """Where nobody has a log, there is nothing to show."""
    (line,) = refused("taps: {t: t.fifo}\nworkers: {a: {command: a, stdout: discard}}")
    assert "taps.t: cannot find a log to read lines from" in line


def test_no_workers_at_all_are_no_mistake(compiled: Compile) -> None:
    """A file whose workers all are in another one still compiles."""
    (tap,) = compiled("taps: {t: t.fifo}\nworkers: {}").configuration.outlets.taps
    assert tap.of.workers == ()


def test_a_misspelt_worker_is_told(refused: Refuse) -> None:
    """A name that nobody has is said with the name that was meant."""
    (line,) = refused("taps: {t: {path: t, workers: wep}}\nworkers: {web: {command: a}}")
    assert 'taps.t.workers[0]: cannot find a worker named "wep" (did you mean "web"?)' in line


def test_no_name_is_not_every_name(refused: Refuse) -> None:
    """An empty list is a mistake: who means all says nothing."""
    (line,) = refused("taps: {t: {path: t, workers: []}}\nworkers: {a: {command: a}}")
    assert "taps.t.workers: cannot be empty (leave it out to mean all)" in line


def test_a_forward_is_declared_once_among_equals(write: Write) -> None:
    """As a tap: what two included files call by one name is a mistake."""
    forward = "logs: {forward: {out: stdout}}\n"
    write({"t.yaml": "include: [a.yaml, b.yaml]\nworkers: {a: {command: a}}"})
    write({"a.yaml": forward, "b.yaml": forward})
    with pytest.raises(Exception, match=r'logs\.forward\.out: cannot give "out" twice'):
        compile_files(["t.yaml"], {})


def test_a_log_in_memory_can_be_read_back(compiled: Compile) -> None:
    """/dev/shm has files; what else is in /dev or /proc goes to somebody who takes it away."""
    text = """
    taps: {t: t.fifo}
    workers:
      a: {command: a, stdout: {log: /dev/shm/sl-a.log, tap: a.fifo}}
      b: {command: b, stdout: /dev/stdout}
    """
    (tap,) = compiled(text).configuration.outlets.taps
    assert tap.of.workers == ("a",)


def test_what_cannot_be_read_back_has_no_tap(refused: Refuse) -> None:
    """A tap reads the log, and a device gives nothing back."""
    (line,) = refused("workers: {a: {command: a, stdout: {log: /dev/stdout, tap: a.fifo}}}")
    assert 'stdout.tap: cannot show what goes to "/dev/stdout": it cannot be read back' in line


def test_a_budget_is_not_about_a_log_that_is_not_rotated(compiled: Compile) -> None:
    """How large a direct log becomes is the worker's affair."""
    text = "logs: {max_total: 1MiB}\nworkers: {a: {command: a, stdout: {direct: true}}}"
    assert compiled(text).configuration.outlets.max_total == 1 << 20


def test_the_log_of_the_daemon_is_in_the_budget(refused: Refuse) -> None:
    """It is a log like those of the workers."""
    text = "supervisor: {log: d.log}\nworkers: {a: {command: a, stdout: discard}}\n"
    (line,) = refused(text + "logs: {max_total: 1MiB}")
    assert "logs.max_total: cannot hold all logs in 1048576 bytes: supervisor.log" in line


def test_too_many_instances_are_told_with_a_tap_as_well(refused: Refuse) -> None:
    """And nothing else is, as none of them was looked at."""
    text = "workers: {a: {command: a, instances: 20000}, b: {command: b}}\n"
    (line,) = refused(text + "taps: {t: t.fifo}\nlogs: {max_total: 1GiB}")
    assert "cannot run more than 20000 instances" in line


def test_a_limit_that_cannot_be_read_is_told_once(refused: Refuse) -> None:
    """It was given, so it is not empty."""
    (line,) = refused("workers: {a: {command: a, stdout: {rate_limit: {lines: 0}}}}")
    assert 'rate_limit.lines: cannot read "0"' in line


def test_many_workers_are_chosen_from_in_time(compiled: Compile) -> None:
    """The labels of each are looked at once for each tap, however many have others."""
    workers = {f"w{n}": {"command": "a", "labels": {"n": str(n)}} for n in range(1500)}
    taps = {"t": {"path": "t", "select": "n=7"}, "u": {"path": "u", "select": "n=8"}}
    found = compiled(json.dumps({"taps": taps, "workers": workers})).configuration.outlets.taps
    assert [tap.of.workers for tap in found] == [("w7",), ("w8",)]


def test_compressed_files_may_be_many_for_their_bytes(compiled: Compile) -> None:
    """`max_total` below `size` makes sense where older files become smaller, or none is kept."""
    for more in ("compress: gzip", "keep: 0"):
        text = f"workers: {{a: {{command: a, stdout: {{rotate: {{max_total: 64KiB, {more}}}}}}}}}"
        assert log_of(compiled(text)).rotation.max_total == 65536


def test_the_name_of_a_compressed_older_file_is_taken(refused: Refuse) -> None:
    """No log may have a name that the rotation of another will need."""
    (line,) = refused("workers: {a: {command: a, stdout: x}, b: {command: b, stdout: x.1.zst}}")
    assert "workers.b.stdout.log: cannot write to" in line


def test_zstd_needs_its_library(
    compiled: Compile, refused: Refuse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where Python cannot compress so, the file is refused with what is to be installed."""
    text = "workers: {a: {command: a, stdout: {rotate: {compress: zstd}}}}"
    there = sys.version_info >= (3, 14) or importlib.util.find_spec("zstandard") is not None
    if there:
        assert log_of(compiled(text)).rotation.compress is Compression.ZSTD

    def nothing(name: str) -> ModuleSpec | None:
        return None

    monkeypatch.setattr(sys, "version_info", (3, 13))
    monkeypatch.setattr("supervisord_lite.config.streams.find_spec", nothing)
    (line,) = refused(text)
    assert "stdout.rotate.compress: cannot compress with zstd" in line
    assert "pip install" in line


def test_a_path_is_short_for_a_log_of_the_daemon(compiled: Compile, tmp_path: Path) -> None:
    """With all else as ever."""
    own = compiled("supervisor: {log: d.log}\nworkers: {}").configuration.outlets.own
    assert own == OwnLog(path=str(tmp_path / "d.log"))


def test_the_daemon_and_a_worker_do_not_share_a_file(refused: Refuse) -> None:
    """No file has two writers."""
    (line,) = refused("supervisor: {log: x.log}\nworkers: {a: {command: a, stdout: x.log}}")
    assert "supervisor.log.path: cannot write to" in line


def test_where_nothing_is_said_the_journal_is_looked_for_at_its_place(compiled: Compile) -> None:
    """Syslog and journald have places that everybody knows."""
    text = "logs: {forward: {s: syslog, j: journald}}\nworkers: {a: {command: a}}"
    forwards = compiled(text).configuration.outlets.forwards
    assert [one.socket for one in forwards] == ["/dev/log", "/run/systemd/journal/socket"]


def test_a_socket_whose_path_is_too_long_is_refused(refused: Refuse) -> None:
    """connect(2) would, when it is too late to be told."""
    path = "x" * 110
    text = (
        f"logs: {{forward: {{s: {{to: syslog, socket: /{path}}}}}}}\nworkers: {{a: {{command: a}}}}"
    )
    (line,) = refused(text)
    assert "logs.forward.s.socket: cannot connect to" in line


@pytest.mark.parametrize(
    ("text", "value"), [("3:07", "03:07"), ("23:59", "23:59"), ("0:00", "00:00")]
)
def test_times_of_day(text: str, value: str) -> None:
    """Hours and minutes; an hour needs no zero before it."""
    assert values.time_of_day(text) == value


@pytest.mark.parametrize("text", ["24:00", "3", "3:7", "03:60", "03:00:00", "", "٣:00"])
def test_what_is_no_time_of_day(text: str) -> None:
    """Everything else, digits of other scripts included."""
    with pytest.raises(ValueError, match="as a time of day"):
        values.time_of_day(text)


@pytest.mark.parametrize(
    ("text", "value"), [("daemon", 3), ("ftp", 11), ("local7", 23), ("23", 23)]
)
def test_facilities(text: str, value: int) -> None:
    """By the names of syslog(3), or by number."""
    assert values.facility(text) == value


@pytest.mark.parametrize("text", ["local8", "24", "-1", ""])
def test_what_is_no_facility(text: str) -> None:
    """Everything else."""
    with pytest.raises(ValueError, match="as a facility"):
        values.facility(text)
