"""What a configuration says of output is taken over by a reload, as `slctl plan` says it."""

import json
import re
from typing import Any

from tests.daemon.conftest import Daemon

TALK = ["sh", "-c", 'while :; do echo "a line"; sleep 0.05; done']


def talker(**stdout: Any) -> dict[str, Any]:
    return {"web": {"command": TALK, "stdout": {"log": "logs/web.0.log", **stdout}}}


def start(daemon: Daemon, **stdout: Any) -> int:
    """A worker that says something all the time; its pid."""
    daemon.run(talker(**stdout))
    daemon.until(lambda: "a line" in daemon.log("web:0"))
    return daemon.pid("web:0")


def plan(daemon: Daemon) -> tuple[str, str, set[str]]:
    """What a reload would do to the worker, why, and which keys differ outside of the workers."""
    planned = daemon.client.plan()
    (entry,) = planned["entries"]
    return entry["action"], entry["why"], {change["key"] for change in planned["changes"]}


def test_a_format_is_taken_over_in_place(daemon: Daemon) -> None:
    """The worker writes on, and from now on the file has its lines in another form."""
    pid = start(daemon)
    daemon.configure(talker(format="json", max_line="1KiB", rate_limit={"lines": 1000}))
    action, why, _ = plan(daemon)
    assert action == "adjust"
    for key in ("format", "max_line", "rate_limit"):
        assert f"stdout_log.{key}" in why
    daemon.client.reload()
    daemon.until(lambda: daemon.log("web:0").endswith("}\n"))
    last = json.loads(daemon.log("web:0").splitlines()[-1])
    assert (last["worker"], last["message"], last["run"]) == ("web", "a line", 1)
    assert daemon.pid("web:0") == pid


def test_and_back_again(daemon: Daemon) -> None:
    """Every line that was written has the form of its time; none is lost or torn between two."""
    pid = start(daemon, format="timestamped")
    daemon.configure(talker())
    daemon.client.reload()
    daemon.until(lambda: daemon.log("web:0").endswith("\na line\na line\n"))
    forms = re.compile(r"(\d{4}-\d\d-\d\dT[\d:.]+Z )?a line")
    assert [one for one in daemon.log("web:0").splitlines() if not forms.fullmatch(one)] == []
    assert daemon.pid("web:0") == pid


def test_a_file_of_its_own_takes_a_restart(daemon: Daemon) -> None:
    """`direct` is handed to the worker, so it needs another run; and so does taking it back."""
    first = start(daemon)
    daemon.configure(talker(direct=True))
    assert plan(daemon)[0] == "restart"
    daemon.client.reload()
    daemon.until(lambda: daemon.pid("web:0") != first)
    second, size = daemon.pid("web:0"), len(daemon.log("web:0"))
    daemon.until(lambda: len(daemon.log("web:0")) > size)
    daemon.configure(talker())
    assert plan(daemon)[0] == "restart"
    daemon.client.reload()
    daemon.until(lambda: daemon.pid("web:0") != second)


def test_the_path_of_a_direct_log_takes_a_restart(daemon: Daemon) -> None:
    """The worker has the old file open; nobody else could give it another one."""
    pid = start(daemon, direct=True)
    daemon.configure(talker(direct=True, log="logs/other.log"))
    assert plan(daemon)[0] == "restart"
    daemon.client.reload()
    daemon.until(lambda: daemon.pid("web:0") != pid)
    other = daemon.directory / "logs/other.log"
    daemon.until(lambda: other.exists() and "a line" in other.read_text())


def test_taps_and_forwards_are_told_by_name(daemon: Daemon) -> None:
    """A plan says which of them differ, and no worker is touched."""
    pid = start(daemon)
    daemon.configure(
        talker(),
        taps={"all": "run/all.fifo"},
        logs={"max_total": "1GiB", "forward": {"out": "stdout"}},
        supervisor={"log": {"level": "debug"}},
    )
    action, _, outside = plan(daemon)
    assert action == "keep"
    assert outside == {"taps.all", "logs.forward.out", "logs.max_total", "supervisor.log.level"}
    daemon.client.reload()
    daemon.until(lambda: "web:0 | a line" in daemon.output())
    assert (daemon.directory / "run/all.fifo").is_fifo()
    assert plan(daemon)[2] == set()
    assert daemon.pid("web:0") == pid


def test_what_differs_is_told_by_the_keys_of_the_file(daemon: Daemon) -> None:
    """Whoever reads a plan looks for its words in the file."""
    logs = {"forward": {"out": {"to": "stdout", "stream": "stdout"}}}
    own: dict[str, Any] = {"path": "own.log"}
    daemon.run(talker(), taps={"all": "run/all.fifo"}, logs=logs, supervisor={"log": own})
    daemon.configure(
        talker(rotate={"keep": 3}, tap={"path": "run/web.fifo", "format": "json"}),
        taps={"all": {"path": "run/all.fifo", "format": "json"}},
        logs={"forward": {"out": "stdout"}},
        supervisor={"log": {**own, "format": "json", "rotate": {"keep": 1}}},
    )
    _, why, outside = plan(daemon)
    assert "stdout_log.rotate.keep, stdout_log.tap, stdout_log.tap.format" in why
    assert outside == {
        "logs.forward.out.stream",
        "supervisor.log.format",
        "supervisor.log.rotate.keep",
        "taps.all.format",
    }
