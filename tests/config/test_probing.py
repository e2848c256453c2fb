"""`ready`, `healthcheck`, `watchdog`: every probe, its forms, and what is refused."""

from collections.abc import Callable
from pathlib import Path

import pytest

from supervisord_lite.config.compiler import Compiled
from supervisord_lite.core.probe import (
    DescriptorProbe,
    ExecProbe,
    FileProbe,
    HealthCheck,
    HttpProbe,
    LogProbe,
    NotifyProbe,
    OnUnhealthy,
    Probe,
    Readiness,
    TcpProbe,
    UnixProbe,
)
from supervisord_lite.core.spec import InstanceSpec

Compile = Callable[..., Compiled]
Refuse = Callable[..., tuple[str, ...]]


def only(compiled: Compiled) -> InstanceSpec:
    (spec,) = compiled.configuration.instances
    return spec


ACTIVE: list[tuple[str, Probe]] = [
    ('tcp: "127.0.0.1:5432"', TcpProbe("127.0.0.1", 5432)),
    ('tcp: "[::1]:80"', TcpProbe("::1", 80)),
    ('http: "http://localhost:8080/x?y=z"', HttpProbe("http://localhost:8080/x?y=z")),
    ("http: {url: 'http://[::1]/', status: 204}", HttpProbe("http://[::1]/", (204,))),
    (
        "http: {url: 'http://h:1', status: [200, 404, 200], headers: {X-A: b}, body: ok}",
        HttpProbe("http://h:1", (200, 404), (("x-a", "b"),), "ok"),
    ),
    ("unix: /run/x.sock", UnixProbe("/run/x.sock")),
    ("file: /run/x", FileProbe("/run/x")),
    ("exec: test -e 'a b'", ExecProbe(("test", "-e", "a b"))),
    ("exec: [test, -e, a b]", ExecProbe(("test", "-e", "a b"))),
]


@pytest.mark.parametrize(
    ("text", "probe"),
    [
        ("notify: systemd", NotifyProbe()),
        ("fd: 3", DescriptorProbe(3)),
        ("log: '^listening on [0-9]{2,5}$'", LogProbe("^listening on [0-9]{2,5}$")),
        *ACTIVE,
    ],
)
def test_a_worker_is_ready_by_one_probe(compiled: Compile, text: str, probe: Probe) -> None:
    """Each kind of probe becomes its value, with the times that nobody gave."""
    spec = only(compiled(f"workers: {{a: {{command: a, ready: {{{text}}}}}}}"))
    assert spec.ready == Readiness(probe)


@pytest.mark.parametrize(("text", "probe"), ACTIVE)
def test_a_worker_is_healthy_by_an_active_probe(compiled: Compile, text: str, probe: Probe) -> None:
    """What somebody can carry out again and again serves as a health check."""
    spec = only(compiled(f"workers: {{a: {{command: a, healthcheck: {{{text}}}}}}}"))
    assert spec.health is not None
    assert spec.health.probe == probe


def test_a_health_check_has_its_times(compiled: Compile) -> None:
    """Every key of a health check arrives."""
    keys = "interval: 5s, timeout: 2s, retries: 5, start_period: 1m, jitter: 0.5"
    spec = only(compiled(f"workers: {{a: {{command: a, healthcheck: {{file: /x, {keys}}}}}}}"))
    assert spec.health == HealthCheck(FileProbe("/x"), 5.0, 2.0, 5, 60.0, 0.5)


@pytest.mark.parametrize(
    ("text", "action", "number"),
    [
        ("restart", OnUnhealthy.RESTART, None),
        ("report", OnUnhealthy.REPORT, None),
        ("{signal: USR1}", OnUnhealthy.SIGNAL, 10),
    ],
)
def test_an_unhealthy_worker_is_dealt_with(
    compiled: Compile, text: str, action: OnUnhealthy, number: int | None
) -> None:
    """It is restarted, reported, or sent a signal."""
    check = f"{{file: /x, on_unhealthy: {text}}}"
    health = only(compiled(f"workers: {{a: {{command: a, healthcheck: {check}}}}}")).health
    assert health is not None
    assert (health.on_unhealthy, health.signal) == (action, number)


def test_each_instance_is_asked_at_its_own_place(compiled: Compile, tmp_path: Path) -> None:
    """The name and the number of the instance go into addresses and paths, which are the file's."""
    text = """
    workers:
      web:
        command: w
        instances: 2
        ready: {unix: "run/{name}.{instance}.sock"}
        healthcheck: {tcp: "127.0.0.1:808{instance}"}
    """
    specs = compiled(text).configuration.instances
    assert [spec.ready for spec in specs] == [
        Readiness(UnixProbe(str(tmp_path / f"run/web.{number}.sock"))) for number in (0, 1)
    ]
    assert [spec.health for spec in specs] == [
        HealthCheck(TcpProbe("127.0.0.1", 8080 + number)) for number in (0, 1)
    ]


def test_instances_that_do_not_differ_share_their_probe(compiled: Compile) -> None:
    """A thousand instances cost one probe unless a text tells them apart."""
    text = "workers: {a: {command: a, instances: 3, healthcheck: {exec: 'x {name}'}}}"
    specs = compiled(text).configuration.instances
    assert len({id(spec.health) for spec in specs}) == 1
    assert specs[0].health == HealthCheck(ExecProbe(("x", "a")))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{timeout: 5s}", "cannot be without a probe (write one of tcp, http, unix, file, exec, "),
        ("{tcp: 'a:1', file: x}", "cannot have file beside tcp (one probe)"),
        ("{tcp: '5432'}", 'cannot read "5432" as an address (try 127.0.0.1:5432 or [::1]:5432)'),
        ("{tcp: '::1:80'}", 'cannot read "::1:80" as an address'),
        ("{tcp: 'a:0'}", 'cannot read "a:0" as an address'),
        ("{tcp: 'a:65536'}", 'cannot read "a:65536" as an address'),
        ("{http: 'https://a'}", "it does not begin with http:// (https is not probed)"),
        ("{http: 'http:///x'}", "it has no host"),
        ("{http: 'http://a:b/'}", "cannot read"),
        ("{http: 'http://u@a/'}", "it has a user or a fragment"),
        ("{http: 'http://a/b c'}", "it has characters that belong into no address"),
        ("{http: {status: 200}}", "cannot be without url"),
        ("{http: {url: 'http://a', status: 99}}", "as a whole number from 100 to 599"),
        ("{unix: /%s}" % ("x" * 107), "it has 108 bytes, a socket's path at most 107"),
        ("{file: ''}", "cannot be empty (write a path)"),
        ("{exec: ''}", "cannot be empty (write the program to run)"),
        ('{exec: "a \'b"}', "into words: no closing quotation"),
        ("{exec: '{channel.x}'}", "the worker is not connected to it"),
        ("{fd: 2}", "as a whole number from 3 to 299"),
        ("{notify: s6}", "(try systemd)"),
        ("{log: 'a('}", "as a pattern: missing ): a( (RE2 syntax)"),
        ("{log: '(?=a)'}", "as a pattern: invalid perl operator"),
        ("{file: x, timeout: 0s}", 'cannot use "0s": it is too short (try 10ms or more)'),
        ("{file: x, interval: 1ms}", "it is too short"),
    ],
)
def test_a_probe_that_is_none_is_refused(refused: Refuse, text: str, problem: str) -> None:
    """Each mistake in a probe is one line with its place."""
    (line,) = refused(f"workers: {{a: {{command: a, ready: {text}}}}}")
    assert line.startswith("t.yaml:1:")
    assert "workers.a.ready" in line
    assert problem in line


@pytest.mark.parametrize("key", ["notify: systemd", "fd: 3", "log: x"])
def test_what_is_said_once_is_no_health_check(refused: Refuse, key: str) -> None:
    """Readiness can be told by the worker; its health is asked for."""
    (line,) = refused(f"workers: {{a: {{command: a, healthcheck: {{{key}}}}}}}")
    assert "workers.a.healthcheck." in line
    assert "cannot find a key named" in line


@pytest.mark.parametrize("kind", ["type: task", "type: job, schedule: {every: 1h}"])
def test_what_is_to_end_does_not_become_ready(refused: Refuse, kind: str) -> None:
    """Readiness is a matter of services."""
    (line,) = refused(f"workers: {{a: {{command: a, {kind}, ready: {{fd: 3}}}}}}")
    assert "workers.a.ready: cannot wait for a " in line


def test_a_line_of_output_needs_a_log(refused: Refuse) -> None:
    """Output that nobody keeps cannot be matched."""
    (line,) = refused("workers: {a: {command: a, stdout: discard, ready: {log: x}}}")
    assert line.endswith("none of the worker's output is logged")


def test_errors_beside_a_channel_are_output_too(compiled: Compile) -> None:
    """When stdout leads to a channel, a line of the logged stderr can be waited for."""
    text = """
    channels: {p: {type: pipe}}
    workers: {a: {command: a, stdout: {channel: p}, ready: {log: x}}}
    """
    assert only(compiled(text)).ready == Readiness(LogProbe("x"))


def test_a_hostile_pattern_costs_nothing(compiled: Compile) -> None:
    """A pattern that others would backtrack on for ever is fine in linear time."""
    text = "workers: {a: {command: a, ready: {log: '(a*)*(a|b|ab)*c$'}}}"
    assert only(compiled(text)).ready == Readiness(LogProbe("(a*)*(a|b|ab)*c$"))


def test_a_default_probe_makes_room(compiled: Compile) -> None:
    """A worker's own probe takes the place of the one in `defaults`, whose times stay."""
    text = """
    defaults: {ready: {tcp: "127.0.0.1:1", timeout: 7s}}
    workers: {a: {command: a, ready: {fd: 4}}}
    """
    assert only(compiled(text)).ready == Readiness(DescriptorProbe(4), timeout=7.0)


def test_a_default_probe_of_the_same_kind_is_added_to(compiled: Compile) -> None:
    """The keys of one kind of probe merge like any others."""
    text = """
    defaults: {healthcheck: {http: {url: "http://a/", body: ok}}}
    workers: {a: {command: a, healthcheck: {http: {status: 200}}}}
    """
    health = only(compiled(text)).health
    assert health == HealthCheck(HttpProbe("http://a/", (200,), (), "ok"))


def test_times_alone_are_for_those_that_have_a_probe(compiled: Compile) -> None:
    """`defaults` can say how, and leave it to each worker whether."""
    text = """
    defaults: {healthcheck: {interval: 3s}, ready: {timeout: 4s}}
    workers: {a: {command: a, healthcheck: {file: /x}}, b: {command: b, ready: {fd: 3}}}
    """
    a, b = compiled(text).configuration.instances
    assert (a.health, a.ready) == (HealthCheck(FileProbe("/x"), interval=3.0), None)
    assert (b.health, b.ready) == (None, Readiness(DescriptorProbe(3), timeout=4.0))


def test_default_readiness_spares_what_is_to_end(compiled: Compile) -> None:
    """A default that only services can have does not make a mistake of a task."""
    text = """
    defaults: {ready: {notify: systemd}, update: rolling}
    workers: {a: {command: a}, b: {command: b, type: task}}
    """
    service, task = compiled(text).configuration.instances
    assert service.ready == Readiness(NotifyProbe())
    assert task.ready is None


def test_a_watchdog_is_a_time(compiled: Compile) -> None:
    """The time between two signs of life is all there is to say."""
    assert only(compiled("workers: {a: {command: a, watchdog: 30s}}")).watchdog == 30.0
