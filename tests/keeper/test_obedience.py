"""Whatever moment a manager dies at, its orders are obeyed as far as they went, and once."""

import os
import signal
import socket
from pathlib import Path

import pytest

from supervisord_lite.linux.process_table import read_entry
from tests.cli.conftest import until
from tests.keeper.conftest import Manager, Stage, spawn

NAME = "web:0"


def steps(directory: Path) -> list[dict[str, object]]:
    """The life of one run, an order a packet."""
    who = {"instance": NAME, "run": 1}
    script = f"echo started >> {directory}/starts; trap 'exit 5' TERM; while :; do sleep 0.01; done"
    return [
        {"do": "remember", "name": NAME, "value": "wanted"},
        {"do": "hold", "name": f"{NAME}/stdout"},
        spawn(NAME, 1, "/bin/sh", "-c", script, streams=["null", f"held:{NAME}/stdout", "null"]),
        {"do": "remember", "name": NAME, "value": "stopping"},
        {"do": "sweep", **who},
        {"do": "signal", **who, "signal": 15, "to": "group"},
        {"do": "remember", "name": NAME, "value": "stopped"},
    ]


def send(manager: Manager, orders: list[dict[str, object]]) -> None:
    for order in orders:
        if order["do"] == "hold":
            read_end, write_end = os.pipe()
            manager.order(order, descriptors=[write_end])
            os.close(read_end)
            os.close(write_end)
        else:
            manager.order(order)


def started(directory: Path) -> int:
    path = directory / "starts"
    return path.read_text().count("started") if path.exists() else 0


@pytest.mark.parametrize("length", range(8))
def test_every_prefix(stage: Stage, length: int) -> None:
    """After each prefix of a run's orders the next manager finds exactly these obeyed, and may
    send all of them again: nothing happens twice.
    """
    first = stage.open()
    orders = steps(stage.directory)
    send(first, orders[:length])
    first.kill()
    second = stage.next_manager()
    remembered = [o["value"] for o in orders[:length] if o["do"] == "remember"]
    assert second.records.get(NAME) == (remembered[-1] if remembered else None)
    assert list(second.held) == ([f"{NAME}/stdout"] if length > 1 else [])
    send(second, orders[:3])
    second.fact("spawned", NAME)  # signals are for what is known to live
    send(second, orders[3:])
    exited = second.fact("exited", NAME)
    assert exited["emptied"] or second.fact("emptied", NAME)
    second.order({"do": "bury", "instance": NAME, "run": 1}, orders[2])
    second.kill()
    third = stage.next_manager()
    assert [fact for fact in third.facts if fact.get("instance") == NAME] == []
    assert started(stage.directory) <= 1


def test_last_orders_of_the_dead_are_obeyed_before_the_next_comes(stage: Stage) -> None:
    """A thousand orders that were sent in the last moment are all known to the next manager."""
    manager = stage.open()
    for number in range(1000):
        manager.order({"do": "remember", "name": f"n{number}", "value": str(number)})
    manager.kill()
    assert stage.next_manager().records == {f"n{number}": str(number) for number in range(1000)}


def test_resent_spawn_is_no_second_process(stage: Stage) -> None:
    """A spawn that is sent again is refused while the run lives, and for ever after."""
    manager = stage.open()
    order = spawn(NAME, 3, "/bin/sh", "-c", f"echo started >> {stage.directory}/starts")
    for _ in range(3):
        manager.order(order)
    manager.fact("exited", NAME)
    manager.order(order, {"do": "bury", "instance": NAME, "run": 3}, order)
    manager.order(spawn(NAME, 2, "/bin/sh", "-c", f"echo started >> {stage.directory}/starts"))
    manager.order(spawn(NAME, 4, "/bin/sh", "-c", "exit 4"))
    while True:
        fact = manager.fact("exited", NAME)
        if fact["run"] == 4:
            break
        manager.facts.remove(fact)
    assert started(stage.directory) == 1


def test_second_run_of_the_living_is_refused(stage: Stage) -> None:
    """An instance has one unburied run at most."""
    manager = stage.open()
    manager.order(spawn(NAME, 1, "sleep", "100000"))
    pid = manager.fact("spawned", NAME)["pid"]
    manager.order(spawn(NAME, 2, "sleep", "100000"), spawn("other:0", 1, "true"))
    manager.fact("exited", "other:0")
    assert [f["pid"] for f in manager.facts if f.get("instance") == NAME] == [pid]


def test_facts_are_told_until_buried(stage: Stage) -> None:
    """Every manager hears of an exit, with its status, until one has buried the run."""
    manager = stage.open()
    manager.order(spawn(NAME, 1, "/bin/sh", "-c", "exit 3"))
    manager.fact("exited", NAME)
    for _ in range(2):
        manager.kill()
        manager = stage.next_manager()
        exited = manager.fact("exited", NAME)
        assert (exited["status"], exited["emptied"]) == (3 << 8, True)
    manager.order({"do": "bury", "instance": NAME, "run": 1})
    manager.kill()
    assert stage.next_manager().facts == []


def test_living_run_is_not_buried(stage: Stage) -> None:
    """An order to bury what lives is obeyed by doing nothing."""
    manager = stage.open()
    manager.order(spawn(NAME, 1, "sleep", "100000"))
    manager.fact("spawned", NAME)
    manager.order({"do": "bury", "instance": NAME, "run": 1})
    manager.kill()
    assert stage.next_manager().fact("spawned", NAME)["run"] == 1


def test_signals_are_told_until_dealt_with(stage: Stage) -> None:
    """A signal to the daemon that a manager has not acknowledged is told to the next one, too."""
    manager = stage.open()
    os.kill(stage.pid, signal.SIGHUP)
    assert _signalled(manager) == signal.SIGHUP
    manager.kill()
    manager = stage.next_manager()
    assert _signalled(manager) == signal.SIGHUP
    manager.acknowledge()
    manager.kill()
    os.kill(stage.pid, signal.SIGUSR2)
    assert _signalled(stage.next_manager()) == signal.SIGUSR2


def _signalled(manager: Manager) -> int:
    while True:
        for fact in manager.facts:
            if fact["tell"] == "signalled":
                return int(fact["signal"])
        packet, _ = manager._next()
        manager.facts.append(packet)


def test_signals_go_to_living_runs_only(stage: Stage) -> None:
    """Orders about runs that are over, or never were, reach nobody."""
    manager = stage.open()
    manager.order(spawn(NAME, 2, "sleep", "100000"))
    pid = manager.fact("spawned", NAME)["pid"]
    for run in (1, 3):
        for to in ("main", "group", "tree"):
            who = {"instance": NAME, "run": run}
            manager.order({"do": "signal", **who, "signal": 9, "to": to}, {"do": "sweep", **who})
    manager.order(spawn("other:0", 1, "true"))
    manager.fact("exited", "other:0")
    entry = read_entry(pid)
    assert entry is not None
    assert entry.state != "Z"


def test_held_descriptors_come_back(stage: Stage) -> None:
    """Five hundred descriptors are given to each new manager, by name, each the right one."""
    manager = stage.open()
    inodes = {}
    for number in range(500):
        read_end, write_end = os.pipe()
        inodes[f"pipe{number}"] = os.fstat(write_end).st_ino
        manager.order({"do": "hold", "name": f"pipe{number}"}, descriptors=[write_end])
        os.close(read_end)
        os.close(write_end)
    manager.order({"do": "drop", "names": ["pipe0", "unknown"]})
    manager.kill()
    held = stage.next_manager().held
    del inodes["pipe0"]
    assert {name: os.fstat(number).st_ino for name, number in held.items()} == inodes


def test_dropped_descriptor_is_closed(stage: Stage) -> None:
    """What is dropped, or replaced, is open nowhere in the keeper."""
    manager = stage.open()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        manager.order({"do": "hold", "name": "end"}, descriptors=[theirs.fileno()])
        theirs.close()
        manager.order({"do": "drop", "names": ["end"]})
        ours.settimeout(60)
        assert ours.recv(1) == b""


def test_unknown_order_is_ignored(stage: Stage) -> None:
    """A newer manager may order what we do not know."""
    manager = stage.open()
    manager.order({"do": "dance"}, spawn(NAME, 1, "true"))
    manager.fact("exited", NAME)


def test_three_deaths_are_a_hold(stage: Stage) -> None:
    """The fourth manager in half a minute is told to hold, and what the last one said."""
    manager = stage.open()
    assert not manager.welcome["hold"]
    for _ in range(3):
        manager.order({"do": "despair", "traceback": "ValueError: no"})
        manager.kill()
        manager = stage.next_manager()
    assert manager.welcome["hold"]
    assert manager.welcome["deaths"] == 3
    assert manager.welcome["last_words"] == "ValueError: no"


def test_exit_is_obeyed(stage: Stage) -> None:
    """The keeper ends with the code that it was told, and takes the journal away."""
    manager = stage.open()
    manager.order({"do": "exit", "code": 7})
    assert stage.process is not None
    assert stage.process.wait(60) == 7
    assert not (stage.directory / "journal").exists()


def test_manager_that_closes_its_link(stage: Stage) -> None:
    """Who lets go of the link is replaced, alive or not."""
    manager = stage.open()
    manager.close()
    stage.next_manager()
    until(lambda: read_entry(manager.pid) is None)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
@pytest.mark.parametrize("to", ["main", "group", "tree"])
def test_worker_that_may_not_be_signalled(stage: Stage, to: str) -> None:
    """A worker that has become somebody whom the daemon may not signal costs nobody else."""
    manager = stage.open(["setpriv", "--bounding-set", "-kill"])
    identity = {"uid": 65534, "gid": 65534, "groups": [], "name": "n", "home": "/", "shell": "/"}
    manager.order(spawn(NAME, 1, "sleep", "1000", identity=identity))
    manager.fact("spawned", NAME)
    who = {"instance": NAME, "run": 1}
    manager.order({"do": "sweep", **who}, {"do": "signal", **who, "signal": 9, "to": to})
    manager.order(spawn("other:0", 1, "true"))
    assert manager.fact("exited", "other:0")["status"] == 0
