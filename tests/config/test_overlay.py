"""Several files: what lies over what, what `include` brings in, and what `defaults` give."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from supervisord_lite.config.compiler import Compiled, compile_files
from supervisord_lite.config.errors import Invalid
from supervisord_lite.core.spec import InstanceSpec, Route, When

Compile = Callable[..., Compiled]
Write = Callable[..., None]


def instances(*paths: str) -> dict[str, InstanceSpec]:
    return {spec.name: spec for spec in compile_files(paths, {}).configuration.instances}


def problems(*paths: str) -> tuple[str, ...]:
    with pytest.raises(Invalid) as caught:
        compile_files(paths, {})
    return caught.value.problems


def test_a_later_file_lies_over_an_earlier_one(write: Write) -> None:
    """Mappings are merged key by key; what one file says and the other does not stays."""
    write(
        {
            "a.yaml": "workers: {web: {command: a, nice: 1, environment: {A: a, B: b}}}",
            "b.yaml": "workers: {web: {nice: 2, environment: {B: c}}, db: {command: d}}",
        }
    )
    found = instances("a.yaml", "b.yaml")
    program = found["web:0"].program
    assert (program.argv, program.nice) == (("a",), 2)
    assert program.environment == (("A", "a"), ("B", "c"))
    assert list(found) == ["web:0", "db:0"]


def test_a_null_takes_away_what_lies_below(write: Write) -> None:
    """A worker, a variable or a setting of an earlier file can be removed."""
    write(
        {
            "a.yaml": "workers: {web: {command: a, nice: 1, environment: {A: a}}, db: {nice: 1}}",
            "b.yaml": "workers: {web: {nice: , environment: {A: null}}, db: ~}",
        }
    )
    found = instances("a.yaml", "b.yaml")
    assert list(found) == ["web:0"]
    assert (found["web:0"].program.nice, found["web:0"].program.environment) == (None, ())


def test_lists_are_replaced(write: Write) -> None:
    """A list has no keys to merge by."""
    write(
        {
            "a.yaml": "workers: {web: {command: [a, b]}}",
            "b.yaml": "workers: {web: {command: [c]}}",
        }
    )
    assert instances("a.yaml", "b.yaml")["web:0"].program.argv == ("c",)


def test_a_short_form_merges_with_a_long_one(compiled: Compile) -> None:
    """`stdout: path` keeps the rotation of the defaults, `restart: never` their delay."""
    text = """
    defaults: {stdout: {rotate: {size: 1MiB, keep: 2}}, restart: {delay: 7s}}
    workers: {a: {command: a, stdout: x.log, restart: on-failure}}
    """
    (spec,) = compiled(text).configuration.instances
    assert spec.stdout_log is not None
    assert (spec.stdout_log.rotation.size, spec.stdout_log.rotation.keep) == (1 << 20, 2)
    assert (spec.restart.when, spec.restart.delay) == (When.ON_FAILURE, 7.0)


def test_a_channel_replaces_a_default_log(compiled: Compile) -> None:
    """A stream to a channel has nothing of the log settings in the defaults."""
    text = """
    defaults: {stdout: {rotate: 1MiB}}
    channels: {p: {type: pipe}}
    workers: {a: {command: a, stdout: {channel: p}}, b: {command: b, stdin: {channel: p}}}
    """
    (spec, _) = compiled(text).configuration.instances
    assert (spec.program.stdout.route, spec.stdout_log) == (Route.CHANNEL, None)


def test_always_as_a_default_spares_tasks(compiled: Compile) -> None:
    """`restart: always` in the defaults is for services; other defaults hold for tasks too."""
    text = """
    defaults: {restart: {when: always, delay: 3s}}
    workers: {a: {command: a}, b: {command: b, type: task}}
    """
    service, task = (spec.restart for spec in compiled(text).configuration.instances)
    assert (service.when, service.delay) == (When.ALWAYS, 3.0)
    assert (task.when, task.delay) == (When.NEVER, 3.0)


def test_paths_are_relative_to_the_file_that_names_them(write: Write, tmp_path: Path) -> None:
    """An overlay elsewhere changes what it names, not where the worker lives."""
    write(
        {
            "base/a.yaml": "workers: {web: {command: a, stdout: x.log}}",
            "over/b.yaml": "workers: {web: {nice: 1, stderr: y.log}}",
        }
    )
    spec = instances("base/a.yaml", "over/b.yaml")["web:0"]
    assert spec.program.working_dir == str(tmp_path / "base")
    assert spec.stdout_log is not None
    assert spec.stderr_log is not None
    assert spec.stdout_log.path == str(tmp_path / "base/x.log")
    assert spec.stderr_log.path == str(tmp_path / "over/y.log")


def test_an_include_lies_below_its_file(write: Write, tmp_path: Path) -> None:
    """A glob brings files in by name; the including file has the last word."""
    write(
        {
            "main.yaml": "include: ['conf.d/*.yaml', none/*.yaml]\nworkers: {b: {nice: 3}}",
            "conf.d/b.yaml": "workers: {b: {command: b, nice: 1}}",
            "conf.d/a.yaml": "include: more/c.yaml\nworkers: {a: {command: a}}",
            "conf.d/more/c.yaml": "workers: {c: {command: c}}",
        }
    )
    compiled = compile_files(["main.yaml"], {}).configuration
    assert [spec.name for spec in compiled.instances] == ["c:0", "a:0", "b:0"]
    assert compiled.instances[2].program.nice == 3
    names = ["main.yaml", "conf.d/a.yaml", "conf.d/more/c.yaml", "conf.d/b.yaml"]
    assert list(compiled.files) == [str(tmp_path / name) for name in names]


def test_included_files_cannot_share_a_worker(write: Write) -> None:
    """Two files of one directory that both declare a worker are a mistake, not a merge."""
    write(
        {
            "main.yaml": "include: 'conf.d/*'\nworkers: {}",
            "conf.d/a.yaml": "workers: {web: {command: a}}",
            "conf.d/b.yaml": "workers: {web: {command: b}}",
        }
    )
    place = "conf.d/b.yaml:1:11: workers.web"
    text = 'cannot give "web" twice (it stands at conf.d/a.yaml:1:11 already)'
    assert problems("main.yaml") == (f"{place}: {text}",)


def test_a_circle_of_includes_is_refused(write: Write) -> None:
    """A file that includes itself by way of another is told so."""
    write({"a.yaml": "include: b.yaml", "b.yaml": "include: ./a.yaml"})
    assert problems("a.yaml") == ('b.yaml:1:10: include: cannot include "a.yaml" within itself',)


def test_one_broken_file_does_not_hide_the_next(write: Write) -> None:
    """All files are read, so that each says what is wrong in it."""
    write({"a.yaml": "a: [", "b.yaml": "b: {c: 1, c: 2}"})
    found = problems("a.yaml", "b.yaml", "absent.yaml")
    assert [line.partition(":")[0] for line in found] == ["a.yaml", "absent.yaml", "b.yaml"]


def test_a_file_that_is_too_large_is_not_read(write: Write) -> None:
    """The size of a file is bounded before anything of it is parsed."""
    write({"a.yaml": "#" * (8 * 1024 * 1024 + 1)})
    assert problems("a.yaml") == ("a.yaml:1:1: cannot read the file: it is larger than 8 MiB",)


def test_a_shared_mistake_is_told_once(write: Write) -> None:
    """What many workers have through one anchor is wrong in one place."""
    workers = "".join(f"  w{n}: {{<<: *x, command: c}}\n" for n in range(50))
    write({"a.yaml": f"x-it: &x {{nice: none}}\nworkers:\n{workers}"})
    (line,) = problems("a.yaml")
    assert line.startswith("a.yaml:1:17: workers.w0.nice: cannot read")


def test_the_order_of_variables_means_nothing(compiled: Compile) -> None:
    """Two files that differ in the order of keys alone are one configuration."""
    one: Any = compiled("workers: {a: {command: a, environment: {A: 1, B: 2}}}").configuration
    other = compiled("workers: {a: {environment: {B: 2, A: 1}, command: a}}").configuration
    assert one == other
