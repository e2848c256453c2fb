"""What one key cannot know by itself: places, limits, sharing, and the daemon's own section."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from supervisord_lite.config.compiler import Compiled, compile_files
from supervisord_lite.config.envfile import parse_line
from supervisord_lite.config.errors import Invalid

Compile = Callable[..., Compiled]
Refuse = Callable[..., tuple[str, ...]]


def test_the_name_is_that_of_the_first_file(compiled: Compile) -> None:
    """Without `supervisor.name`, the file's name serves."""
    assert compiled("workers: {}").configuration.name == "t"


def test_a_file_name_that_is_no_name_is_refused(tmp_path: Path) -> None:
    """The daemon's name becomes a path, so it keeps to the letters of a name."""
    path = tmp_path / "my shop.yaml"
    path.write_text("workers: {}")
    with pytest.raises(Invalid, match=r"supervisor.name: cannot make a name of \"my shop\""):
        compile_files([str(path)], {})


def test_the_runtime_directory_follows_the_user(compiled: Compile) -> None:
    """Root's is below /run, a user's below XDG_RUNTIME_DIR, which has to be absolute."""
    private = compiled("workers: {}", XDG_RUNTIME_DIR="/run/user/7").configuration
    other = compiled("workers: {}", XDG_RUNTIME_DIR="relative").configuration
    root = "/run/supervisord-lite/t"
    user = os.geteuid()
    assert private.runtime_dir == (root if user == 0 else "/run/user/7/supervisord-lite/t")
    assert other.runtime_dir == (root if user == 0 else f"/tmp/supervisord-lite-{user}/t")
    assert other.control.socket == f"{other.runtime_dir}/control.sock"


def test_the_state_directory_outlives_a_boot(compiled: Compile) -> None:
    """Root's is below /var/lib, a user's below XDG_STATE_HOME or the home directory."""
    own = compiled("workers: {}", XDG_STATE_HOME="/s", HOME="/h").configuration.state_dir
    home = compiled("workers: {}", XDG_STATE_HOME="relative", HOME="/h").configuration.state_dir
    homeless = compiled("workers: {}", XDG_RUNTIME_DIR="/r").configuration.state_dir
    if os.geteuid() == 0:
        assert own == home == homeless == "/var/lib/supervisord-lite/t"
    else:
        assert own == "/s/supervisord-lite/t"
        assert home == "/h/.local/state/supervisord-lite/t"
        assert homeless == "/r/supervisord-lite/t/state"


def test_a_state_directory_of_ones_own(compiled: Compile, tmp_path: Path) -> None:
    """A path that is given is relative to the file."""
    configuration = compiled("supervisor: {state_dir: kept}\nworkers: {}").configuration
    assert configuration.state_dir == str(tmp_path / "kept")


def test_an_unsaid_deadline_is_left_to_the_daemon(compiled: Compile) -> None:
    """How long a shutdown may take depends on whether the daemon is PID 1, unless the file says."""
    said = compiled("supervisor: {stop_deadline: 5s}\nworkers: {}").configuration
    unsaid = compiled("workers: {}").configuration
    assert (said.stop_deadline, unsaid.stop_deadline) == (5.0, None)


def test_a_runtime_directory_of_ones_own_holds_the_socket(
    compiled: Compile, tmp_path: Path
) -> None:
    """The socket is looked for in the runtime directory unless it has a path of its own."""
    configuration = compiled("supervisor: {runtime_dir: run}\nworkers: {}").configuration
    assert configuration.control.socket == str(tmp_path / "run/control.sock")


def test_a_cpu_that_is_not_there_is_refused(refused: Refuse) -> None:
    """A worker cannot be bound to a CPU that the machine lacks."""
    (line,) = refused("workers: {a: {command: a, cpu_affinity: '4000'}}")
    assert "workers.a.cpu_affinity: cannot find CPU 4000 (there are " in line


def test_a_log_through_a_symbolic_link_is_the_same_log(refused: Refuse, tmp_path: Path) -> None:
    """Two spellings of one file are one file, also where a link leads to it."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "link").symlink_to("logs")
    (line,) = refused("workers: {a: {command: a, stdout: logs/x}, b: {command: b, stdout: link/x}}")
    assert "workers.b.stdout.log: cannot write to" in line
    assert "workers.a.stdout.log at t.yaml:1:35 does" in line


def test_a_log_that_is_itself_a_link_is_followed(refused: Refuse, tmp_path: Path) -> None:
    """The file that counts is the one that would be written."""
    (tmp_path / "x").touch()
    (tmp_path / "y").symlink_to("x")
    (line,) = refused("workers: {a: {command: a, stdout: x}, b: {command: b, stdout: y}}")
    assert "workers.b.stdout.log: cannot write to" in line


def test_devices_take_several_writers(compiled: Compile) -> None:
    """Many workers may write to the daemon's own output or to nowhere."""
    text = "defaults: {stdout: %s}\nworkers: {a: {command: a, instances: 3}, b: {command: b}}"
    for device in ("/dev/stdout", "/dev/null", "/proc/self/fd/2"):
        assert len(compiled(text % device).configuration.instances) == 4


def test_no_instances_are_none(compiled: Compile) -> None:
    """A worker may be declared without running any."""
    assert compiled("workers: {a: {command: a, instances: 0}}").configuration.instances == ()


def test_instances_that_do_not_differ_share_a_program(compiled: Compile) -> None:
    """A thousand instances cost one program unless a text tells them apart."""
    same = compiled("workers: {a: {command: a, instances: 3}}").configuration.instances
    assert len({id(spec.program) for spec in same}) == 1


def test_a_relative_program_stays_relative(compiled: Compile) -> None:
    """exec(2) looks for `./x` in the working directory, whatever that will be."""
    text = "workers: {a: {command: ./x y, working_dir: 'w{instance}', instances: 2}}"
    specs = compiled(text).configuration.instances
    assert [spec.program.argv for spec in specs] == [("./x", "y")] * 2
    assert [Path(spec.program.working_dir).name for spec in specs] == ["w0", "w1"]


@pytest.mark.parametrize(
    "name", ["a/b", "a:b", "-a", ".a", "a b", "ä", "a%", "x" * 65, "a\\nb", ""]
)
def test_names_keep_to_a_strict_set(refused: Refuse, name: str) -> None:
    """A name goes into paths, URLs and messages: nothing in it needs an escape."""
    lines = refused(f'workers: {{"{name}": {{command: a}}}}')
    assert "cannot use" in lines[0]
    assert "as a name" in lines[0]
    assert len(lines) == 1


@pytest.mark.parametrize("name", ["a", "0", "web-1.b_C", "x" * 64])
def test_good_names_are_taken(compiled: Compile, name: str) -> None:
    """Letters, digits, `_`, `.` and `-`, up to 64."""
    text = f'workers: {{"{name}": {{command: a}}}}'
    assert compiled(text).configuration.instances[0].worker == name


@pytest.mark.parametrize(
    ("line", "pair"),
    [
        ("A=b", ("A", "b")),
        ("export A = b ", ("A", "b")),
        ("A=", ("A", "")),
        ("A=b # c", ("A", "b # c")),
        ("A='b # c' # d", ("A", "b # c")),
        (r'A="b \"c\" \$d \\ \n"', ("A", 'b "c" $d \\ \n')),
        ("A=${HOME}", ("A", "${HOME}")),
    ],
)
def test_a_line_of_an_env_file(line: str, pair: tuple[str, str]) -> None:
    """Quotes and escapes are understood, and nothing is substituted."""
    assert parse_line(line) == pair


def test_environment_wins_over_its_files(compiled: Compile, tmp_path: Path) -> None:
    """Later files win over earlier ones, and what the file says itself wins over all."""
    (tmp_path / "1.env").write_text("A=1\nB=1\nC=1\n")
    (tmp_path / "x.2.env").write_text("B=2\nC=2\n")
    text = """
    workers: {x: {command: a, env_file: [1.env, "{name}.2.env"], environment: {C: "3"}}}
    """
    (spec,) = compiled(text).configuration.instances
    assert spec.program.environment == (("A", "1"), ("B", "2"), ("C", "3"))
