"""What a child finds when it begins: nothing of the daemon but what was declared."""

import json
import os
import signal
import sys
from typing import Any

import pytest

from tests.cli.conftest import until
from tests.keeper.conftest import Manager, Stage, spawn
from tests.keeper.test_spawning import NAME, NOBODY, WAYS, needs_root

SELF_PORTRAIT = """
import json, os, resource, sys
status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
print(json.dumps({
    "blocked": int(status["SigBlk"], 16),
    "ignored": int(status["SigIgn"], 16),
    "privileges": status["NoNewPrivs"].strip(),
    "session": os.getsid(0) == os.getpid() == os.getpgid(0),
    "stdin": os.readlink("/proc/self/fd/0"),
    "open": sorted(int(n) for n in os.listdir("/proc/self/fd")
                   if os.path.exists(f"/proc/self/fd/{n}")),
    "nofile": resource.getrlimit(resource.RLIMIT_NOFILE),
    "core": resource.getrlimit(resource.RLIMIT_CORE),
    "nice": os.getpriority(os.PRIO_PROCESS, 0),
    "cpus": sorted(os.sched_getaffinity(0)),
    "oom": int(open("/proc/self/oom_score_adj").read()),
    "umask": os.umask(0),
    "uid": os.getresuid(), "gid": os.getresgid(), "groups": sorted(os.getgroups()),
    "cwd": os.getcwd(),
    "environment": dict(os.environ),
}), flush=True)
"""


def output(manager: Manager, *argv: str, instance: str = NAME, run: int = 1, **program: Any) -> str:
    """What a child writes to a pipe that the keeper holds for as long as the spawn takes."""
    read_end, write_end = os.pipe()
    name = f"{instance}/out"
    streams = ["null", f"held:{name}", f"held:{name}"]
    order = spawn(instance, run, *argv, streams=streams, **program)
    manager.order({"do": "hold", "name": name}, order, descriptors=[write_end])
    os.close(write_end)
    assert manager.answer(instance)["tell"] == "spawned", manager.answer(instance)
    manager.order({"do": "drop", "names": [name]})
    with open(read_end, encoding="utf-8") as stream:
        return stream.read()


def portrait(manager: Manager, **program: Any) -> dict[str, Any]:
    """What a child sees of itself."""
    found: dict[str, Any] = json.loads(output(manager, "python3", "-c", SELF_PORTRAIT, **program))
    return found


@pytest.fixture(autouse=True)
def python(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `python3` that is the one of these tests."""
    (tmp_path / "python3").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")


@WAYS
@pytest.mark.parametrize("prefix", [[], ["nohup"]], ids=["", "nohup"])
def test_signals_are_at_their_defaults(stage: Stage, way: Any, prefix: list[str]) -> None:
    """No signal is blocked or ignored, whoever started the daemon."""
    told = output(stage.open(prefix), "cat", "/proc/self/status", **way)
    lines = [line for line in told.splitlines() if line[:6] in ("SigBlk", "SigIgn", "SigCgt")]
    assert [int(line.split()[1], 16) for line in lines] == [0, 0, 0]


def test_blocked_signals_do_not_pass(stage: Stage) -> None:
    """A mask that the daemon was started with is not the workers'."""
    block = "import os, signal, sys; signal.pthread_sigmask(signal.SIG_BLOCK, [15, 10, 2]);"
    manager = stage.open([sys.executable, "-c", f"{block} os.execvp(sys.argv[1], sys.argv[1:])"])
    assert portrait(manager)["blocked"] == 0


@WAYS
def test_session_of_its_own(stage: Stage, way: Any) -> None:
    """A child leads a session and a group."""
    assert portrait(stage.open(), **way)["session"]


@WAYS
def test_no_input(stage: Stage, way: Any) -> None:
    """Where nothing else is declared, stdin is /dev/null."""
    assert portrait(stage.open(), **way)["stdin"] == "/dev/null"


@WAYS
def test_nothing_leaks(stage: Stage, way: Any) -> None:
    """With three thousand descriptors held, a child has its own three, and the original limit."""
    manager = stage.open(["prlimit", "--nofile=1024:8192"])
    _hold(manager, 3000)
    seen = portrait(manager, **way)
    assert seen["open"] == [0, 1, 2]
    assert seen["nofile"] == [1024, 8192]


def _hold(manager: Manager, count: int) -> None:
    with open(os.devnull, "rb") as null:
        for number in range(0, count, 200):
            orders = [{"do": "hold", "name": f"held{number + n}"} for n in range(200)]
            manager.order(*orders, descriptors=[null.fileno()] * 200)


def test_trees_are_ended_however_much_is_held(stage: Stage) -> None:
    """The keeper finds and kills a whole tree although its soft limit is long exhausted."""
    manager = stage.open(["prlimit", "--nofile=1024:8192"])
    _hold(manager, 3000)
    manager.order(spawn(NAME, 1, "/bin/sh", "-c", "setsid sleep 100000 & exec sleep 100000"))
    manager.fact("spawned", NAME)
    who = {"instance": NAME, "run": 1}
    manager.order({"do": "sweep", **who}, {"do": "signal", **who, "signal": 9, "to": "tree"})
    exited = manager.fact("exited", NAME)
    assert exited["emptied"] or manager.fact("emptied", NAME)


@WAYS
def test_environment(stage: Stage, way: Any) -> None:
    """The daemon's environment with the additions, less what was meant for the daemon alone."""
    told = {"NOTIFY_SOCKET": "@nobody", "WATCHDOG_USEC": "1", "LISTEN_PID": "1", "LISTEN_FDS": "1"}
    manager = stage.open(**told, INVOCATION_ID="1", FROM_OUTSIDE="yes")
    seen = portrait(manager, environment={"ADDED": "é", "HOME": "/added"}, **way)["environment"]
    assert not {*told, "INVOCATION_ID"} & set(seen)
    assert (seen["FROM_OUTSIDE"], seen["ADDED"], seen["HOME"]) == ("yes", "é", "/added")
    assert seen["SUPERVISORD_LITE_RUN"].endswith(f"/{NAME}/1")


@WAYS
def test_cleared_environment(stage: Stage, way: Any) -> None:
    """Where it is cleared, there is what was added and the mark."""
    told = output(
        stage.open(), "/usr/bin/env", clear_environment=True, environment={"A": "1"}, **way
    )
    assert sorted(line.partition("=")[0] for line in told.splitlines()) == [
        "A",
        "SUPERVISORD_LITE_RUN",
    ]


@WAYS
@needs_root
def test_user_switch(stage: Stage, way: Any) -> None:
    """Uids, gids, groups and the variables of a login are the user's, all of them."""
    identity = {**NOBODY, "groups": [65534, 12345]}
    told = output(
        stage.open(),
        "/bin/sh",
        "-c",
        "grep -E '^(Uid|Gid|Groups)' /proc/self/status; echo $HOME $USER $LOGNAME $SHELL",
        identity=identity,
        **way,
    )
    uid, gid, groups, login = told.splitlines()
    assert uid.split()[1:] == ["65534"] * 4
    assert gid.split()[1:] == ["65534"] * 4
    assert sorted(groups.split()[1:]) == ["12345", "65534"]
    assert login == "/nowhere nobody nobody /bin/sh"


@WAYS
@needs_root
def test_output_can_be_opened_by_name(stage: Stage, way: Any) -> None:
    """/dev/stdout can be opened by the user that the worker runs as, though root made the pipe."""
    manager = stage.open()
    read_end, write_end = os.pipe()
    manager.order({"do": "hold", "name": "out"}, descriptors=[write_end])
    os.close(write_end)
    order = spawn(
        NAME,
        1,
        "/bin/sh",
        "-c",
        "echo opened > /dev/stdout",
        streams=["null", "held:out", "held:out"],
        identity=NOBODY,
        **way,
    )
    manager.order(order)
    assert manager.fact("exited", NAME)["status"] == 0
    assert os.read(read_end, 100) == b"opened\n"
    os.close(read_end)


@WAYS
@pytest.mark.parametrize("umask", [0o000, 0o077, 0o022])
def test_umask(stage: Stage, umask: int, way: Any) -> None:
    """Any umask, the empty one too."""
    assert portrait(stage.open(), umask=umask, **way)["umask"] == umask


@WAYS
def test_working_directory(stage: Stage, way: Any) -> None:
    """The child is where it was told to be."""
    where = str(stage.directory)
    assert portrait(stage.open(), working_dir=where, **way)["cwd"] == where


def test_priority(stage: Stage) -> None:
    """nice(2)."""
    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert portrait(stage.open(), nice=own + 5)["nice"] == own + 5


def test_oom_score(stage: Stage) -> None:
    """oom_score_adj, proc(5)."""
    assert portrait(stage.open(), oom_score_adj=555)["oom"] == 555


def test_affinity(stage: Stage) -> None:
    """The processors that it may use."""
    last = max(os.sched_getaffinity(0))
    assert portrait(stage.open(), cpu_affinity=[last])["cpus"] == [last]


def test_limits(stage: Stage) -> None:
    """Soft and hard limits, each as declared."""
    limits = [
        {"name": "nofile", "soft": 77, "hard": 99},
        {"name": "core", "soft": 0, "hard": 0},
    ]
    seen = portrait(stage.open(), limits=limits)
    assert (seen["nofile"], seen["core"]) == ([77, 99], [0, 0])


def test_no_new_privileges(stage: Stage) -> None:
    """Off unless asked for, and then for good."""
    manager = stage.open()
    assert portrait(manager)["privileges"] == "0"
    told = output(
        manager,
        "grep",
        "NoNewPrivs",
        "/proc/self/status",
        instance="other:0",
        no_new_privileges=True,
    )
    assert told.split() == ["NoNewPrivs:", "1"]


def test_nonblocking_output_of_the_last_run_is_not_the_next_ones(stage: Stage) -> None:
    """O_NONBLOCK, which one run sets on the pipe that all runs share, does not pass on."""
    manager = stage.open()
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    manager.order({"do": "hold", "name": "out"}, descriptors=[write_end])
    code = "import os; print(os.get_blocking(1), flush=True)"
    manager.order(spawn(NAME, 1, "python3", "-c", code, streams=["null", "held:out", "null"]))
    manager.fact("exited", NAME)
    assert os.read(read_end, 100) == b"True\n"
    os.close(read_end)
    os.close(write_end)


def test_mark_of_another_daemon_does_not_pass(stage: Stage) -> None:
    """A daemon that is itself somebody's worker marks its own workers as its own."""
    manager = stage.open(SUPERVISORD_LITE_RUN="outer/web:0/1")
    seen = portrait(manager)["environment"]["SUPERVISORD_LITE_RUN"]
    assert seen.endswith(f"/{NAME}/1")
    assert not seen.startswith("outer/")


def test_started_by_another_thread_and_still_there(stage: Stage) -> None:
    """A child outlives the thread that made it: two hundred spawns later it runs."""
    manager = stage.open()
    manager.order(spawn(NAME, 1, "sleep", "100000"))
    pid = manager.fact("spawned", NAME)["pid"]
    for number in range(200):
        manager.order(spawn(f"brief:{number}", 1, "true"))
        manager.fact("exited", f"brief:{number}")
        manager.acknowledge()
    os.kill(pid, 0)
    who = {"instance": NAME, "run": 1}
    manager.order({"do": "signal", **who, "signal": int(signal.SIGTERM), "to": "main"})
    until(lambda: manager.fact("exited", NAME)["status"] == signal.SIGTERM)
