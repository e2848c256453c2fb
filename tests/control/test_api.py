"""The routes: what each answers, what it refuses, and in which words."""

import json
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from supervisord_lite.control.access import Peer, Right, rights_of
from supervisord_lite.control.app import ENDPOINTS, routes
from supervisord_lite.control.connection import Limits
from supervisord_lite.control.context import Context
from tests.control.conftest import Daemon, body_of, read_all


@pytest.fixture
def http(daemon: Daemon) -> Iterator[httpx.Client]:
    transport = httpx.HTTPTransport(uds=daemon.path)
    with httpx.Client(transport=transport, base_url="http://d", timeout=20) as client:
        yield client


def error_of(answer: httpx.Response) -> str:
    text: str = answer.json()["error"]
    return text


def test_workers_are_listed(http: httpx.Client) -> None:
    """All instances, in the fleet's order."""
    rows = http.get("/v1/workers").json()["workers"]
    assert [(row["name"], row["state"]) for row in rows] == [
        ("web:0", "RUNNING"),
        ("db:0", "STOPPED"),
    ]


def test_workers_are_chosen_by_name(http: httpx.Client) -> None:
    """Names in the query and in the path mean the same."""
    by_query = http.get("/v1/workers", params={"name": "db"}).json()
    by_path = http.get("/v1/workers/db:0").json()
    assert by_query == by_path
    assert [row["name"] for row in by_path["workers"]] == ["db:0"]


def test_unknown_worker_is_404(http: httpx.Client) -> None:
    """The answer says which name is unknown."""
    answer = http.get("/v1/workers/nope")
    assert (answer.status_code, error_of(answer)) == (404, "cannot find an instance of nope")


@pytest.mark.parametrize("verb", ["start", "stop", "restart", "run", "signal", "reload"])
def test_verbs_are_no_reserved_words(http: httpx.Client, daemon: Daemon, verb: str) -> None:
    """GET takes a verb in the path for a worker's name: 404 until there is such a worker."""
    before = http.get(f"/v1/workers/{verb}")
    daemon.fleet.up[f"{verb}:0"] = True
    after = http.get(f"/v1/workers/{verb}")
    assert (before.status_code, after.status_code) == (404, 200)
    assert [row["worker"] for row in after.json()["workers"]] == [verb]


def test_unknown_name_has_no_effect(http: httpx.Client, daemon: Daemon) -> None:
    """An order that names one unknown worker is obeyed for none."""
    answer = http.post("/v1/workers/stop", json={"names": ["web", "nope"]})
    assert answer.status_code == 404
    assert daemon.fleet.up["web:0"]


def test_stop_answers_for_each_instance(http: httpx.Client, daemon: Daemon) -> None:
    """One result an instance, and one `ok` for all."""
    answer = http.post("/v1/workers/stop", json={"names": ["all"], "wait": False})
    assert answer.json()["ok"]
    assert [result["name"] for result in answer.json()["results"]] == ["web:0", "db:0"]
    assert daemon.fleet.up == {"web:0": False, "db:0": False}


@pytest.mark.parametrize(("sent", "number"), [("HUP", 1), ("SIGHUP", 1), ("sighup", 1), (15, 15)])
def test_signal_takes_names_and_numbers(
    http: httpx.Client, daemon: Daemon, sent: str | int, number: int
) -> None:
    """A signal may be written in every usual way."""
    http.post("/v1/workers/signal", json={"names": ["web"], "signal": sent})
    assert daemon.fleet.signals == [("web:0", number)]


def test_signal_without_process_is_not_ok(http: httpx.Client) -> None:
    """The answer says which instance had no process."""
    answer = http.post("/v1/workers/signal", json={"names": ["all"], "signal": "HUP"}).json()
    assert not answer["ok"]
    assert [result["ok"] for result in answer["results"]] == [True, False]


def test_labels_choose_instances(http: httpx.Client) -> None:
    """A selector in the query or in the body narrows what names choose; alone it is among all."""
    rows = http.get("/v1/workers", params={"selector": "tier=front"}).json()["workers"]
    assert [row["name"] for row in rows] == ["web:0"]
    both = http.get("/v1/workers", params=[("selector", "tier"), ("selector", "tier!=front")])
    assert [row["name"] for row in both.json()["workers"]] == ["db:0"]
    answer = http.post("/v1/workers/stop", json={"selector": "tier=front"}).json()
    assert [result["name"] for result in answer["results"]] == ["web:0"]
    narrowed = http.post("/v1/workers/stop", json={"names": ["all"], "selector": "tier=back"})
    assert [result["name"] for result in narrowed.json()["results"]] == ["db:0"]


def test_a_run_answers_with_its_exit(http: httpx.Client) -> None:
    """How the run ended is part of its result."""
    (result,) = http.post("/v1/workers/run", json={"names": ["web"]}).json()["results"]
    assert result["exit"] == {"code": 3, "signal": None, "core_dumped": False}


def test_workers_are_told_to_reload(http: httpx.Client, daemon: Daemon) -> None:
    """Which signal that is, is not the client's to say."""
    http.post("/v1/workers/reload", json={"names": ["web"]})
    assert daemon.fleet.signals == [("web:0", 1)]


def test_scaling_takes_a_number_for_each_worker(http: httpx.Client, daemon: Daemon) -> None:
    """The answer is the plan that was applied."""
    answer = http.post("/v1/scale", json={"counts": {"web": 2, "db": 0}}).json()
    assert daemon.fleet.counts == {"web": 2, "db": 0}
    assert [entry["action"] for entry in answer["entries"]] == ["start"]


@pytest.mark.parametrize(
    "counts", [None, {}, [], "web=2", {"web": -1}, {"web": True}, {"web": 1.5}, {"web": 10**9}]
)
def test_bad_counts_are_400(http: httpx.Client, daemon: Daemon, counts: object) -> None:
    """What is no number of instances scales nothing."""
    assert http.post("/v1/scale", json={"counts": counts}).status_code == 400
    assert daemon.fleet.counts == {}


@pytest.mark.parametrize(("verb", "undo"), [("restart", False), ("undo", True)])
def test_rollouts_are_of_workers(http: httpx.Client, daemon: Daemon, verb: str, undo: bool) -> None:
    """Whatever instances are named, one result a worker comes back."""
    answer = http.post(f"/v1/rollouts/{verb}", json={"names": ["all"]}).json()
    assert [result["name"] for result in answer["results"]] == ["web", "db"]
    assert daemon.fleet.rolled == [("web", undo), ("db", undo)]


def test_what_can_be_looked_at(http: httpx.Client) -> None:
    """Explanations, histories and roll-outs, chosen as instances are."""
    (explanation,) = http.get("/v1/explain", params={"name": "web"}).json()["explanations"]
    assert explanation["causes"] == [{"depth": 0, "text": "is RUNNING"}]
    assert http.get("/v1/history", params={"name": "db"}).json()["history"][0]["name"] == "db:0"
    assert http.get("/v1/rollouts").json()["rollouts"] == [{"worker": "web", "progress": "done"}]
    assert http.get("/v1/workers").json()["rollouts"] == []


@pytest.mark.parametrize("text", ["", ",", "=", "a,,b", "!a", "a=b=c", "a!b=c"])
def test_bad_selectors_are_400(http: httpx.Client, daemon: Daemon, text: str) -> None:
    """A selector that cannot be read chooses nobody, and not everybody."""
    answer = http.post("/v1/workers/stop", json={"names": ["all"], "selector": text})
    assert answer.status_code == 400
    assert "in selector" in error_of(answer)
    assert daemon.fleet.up["web:0"]


BAD_BODIES = [
    b"{",
    b"[]",
    b"null",
    b"{}",
    b"[" * 100_000,
    b'{"names": "web"}',
    b'{"names": []}',
    b'{"names": [1]}',
    b'{"names": [""]}',
    b'{"selector": 1}',
    b'{"names": [], "selector": "tier"}',
    b'{"names": ["web"], "wait": 1}',
    b'{"names": ["web"], "timeout": -1}',
    b'{"names": ["web"], "timeout": true}',
    b'{"names": ["web"], "timeout": "5s"}',
    b'{"names": ["web"], "timeout": 1e400}',
    b'{"names": ["web"], "timeout": NaN}',
    b'{"names": ["web"], "names": ["db"]}',
    b'{"names": ["web"], "nmaes": ["db"]}',
    b'{"names": ["web"], "timeout": ' + b"9" * 5000 + b"}",
    b'\xff\xfe{"names": ["web"]}',
]


@pytest.mark.parametrize("body", BAD_BODIES, ids=range(len(BAD_BODIES)))
def test_bad_bodies_are_400_and_change_nothing(
    http: httpx.Client, daemon: Daemon, body: bytes
) -> None:
    """What cannot be understood whole is not obeyed in part."""
    answer = http.post("/v1/workers/stop", content=body)
    assert answer.status_code == 400
    assert error_of(answer).startswith("cannot ")
    assert daemon.fleet.up["web:0"]


@pytest.mark.parametrize("signal", ["FOO", "", 0, 65, -9, 9.5, True, None, "__class__", ["HUP"]])
def test_bad_signals_are_400(http: httpx.Client, daemon: Daemon, signal: object) -> None:
    """A signal that does not exist is never sent."""
    answer = http.post("/v1/workers/signal", json={"names": ["web"], "signal": signal})
    assert answer.status_code == 400
    assert daemon.fleet.signals == []


def test_misspelt_key_is_named(http: httpx.Client) -> None:
    """The error says which key is unknown and which are known."""
    answer = http.post("/v1/reload", json={"wiat": False})
    assert error_of(answer) == 'cannot take "wiat": known here are timeout, wait'


@pytest.mark.parametrize(
    "path", ["/v1/workers?nam=web", "/v1/version?x=1", "/v1/logs?lines=-1", "/v1/logs?stream=x"]
)
def test_bad_queries_are_400(http: httpx.Client, path: str) -> None:
    """Queries are read as strictly as bodies."""
    assert http.get(path).status_code == 400


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/v1/workers/a/b", 404),
        ("GET", "/v2/workers", 404),
        ("DELETE", "/v1/workers", 405),
        ("GET", "/v1/shutdown", 405),
        ("POST", "/v1/plan", 405),
    ],
)
def test_other_routes_are_json_errors(
    http: httpx.Client, method: str, path: str, status: int
) -> None:
    """Nothing answers where the table has nothing, and nothing changes state by GET."""
    answer = http.request(method, path)
    assert (answer.status_code, error_of(answer)[:7]) == (status, "cannot ")


def test_refused_requests_are_409(http: httpx.Client, daemon: Daemon) -> None:
    """During a shutdown the manager's reason reaches the client."""
    http.post("/v1/shutdown")
    answer = http.post("/v1/workers/start", json={"names": ["web"]})
    assert answer.status_code == 409
    assert "a shutdown is under way" in error_of(answer)


def test_plan_is_plain_data(http: httpx.Client) -> None:
    """Each instance with what would happen to it and which value changed."""
    (entry,) = http.get("/v1/plan").json()["entries"]
    assert (entry["instance"], entry["action"]) == ("web:0", "restart")
    assert entry["changes"] == [{"key": "program.umask", "old": "none", "new": "18"}]


def test_bad_configuration_is_422_with_every_problem(http: httpx.Client, daemon: Daemon) -> None:
    """A reload of a file that does not compile says why, line by line."""
    daemon.fleet.problems = ["a.yaml:1:1: cannot", "a.yaml:2:1: cannot"]
    answer = http.post("/v1/reload")
    assert (answer.status_code, answer.json()["problems"]) == (422, daemon.fleet.problems)


def test_config_version_and_health(http: httpx.Client) -> None:
    """What the daemon tells about itself."""
    assert http.get("/v1/config").json()["values"][0]["origin"] == "a.yaml:3"
    assert http.get("/v1/version").json()["version"] == "0"
    assert http.get("/v1/health").json() == {"ok": True, "held": False}


def test_leave_and_reopen_reach_the_manager(http: httpx.Client, daemon: Daemon) -> None:
    """Verbs without arguments take an empty body or an empty object."""
    assert http.post("/v1/logs/reopen").json() == {"ok": True}
    assert http.post("/v1/leave", json={}).json() == {"ok": True}
    assert (daemon.fleet.reopened, daemon.fleet.left) == (1, True)


def test_fault_in_the_manager_is_500_and_the_server_lives(
    http: httpx.Client, daemon: Daemon, caplog: pytest.LogCaptureFixture
) -> None:
    """A defect costs one answer; it is logged, and said in the error."""
    daemon.fleet.fault = RuntimeError("defect")
    answer = http.get("/v1/workers")
    assert (answer.status_code, error_of(answer)) == (
        500,
        "cannot answer GET /v1/workers: RuntimeError: defect",
    )
    daemon.fleet.fault = None
    assert http.get("/v1/workers").status_code == 200
    assert "cannot answer GET /v1/workers" in caplog.text


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_curl_speaks_it(daemon: Daemon) -> None:
    """The documented command line works."""
    answer = subprocess.run(
        ["curl", "-sS", "--unix-socket", daemon.path, "http://d/v1/workers/web"],
        capture_output=True,
        check=True,
        timeout=30,
    )
    assert json.loads(answer.stdout)["workers"][0]["name"] == "web:0"


def test_every_route_needs_a_right(daemon: Daemon) -> None:
    """What the application routes is the table, and each entry of it names a right."""
    table = routes(Context(daemon.fleet, daemon.logs))
    routed = {(route.path, *(route.methods or set()) - {"HEAD"}) for route in table}
    assert routed == {(endpoint.path, endpoint.method) for endpoint in ENDPOINTS}
    assert all(isinstance(endpoint.right, Right) for endpoint in ENDPOINTS)


def test_rights_are_for_root_and_owner_only() -> None:
    """Everybody else has none at all."""
    assert rights_of(Peer(1, 0, 0), 1000) == frozenset(Right)
    assert rights_of(Peer(1, 1000, 1000), 1000) == frozenset(Right)
    assert rights_of(Peer(1, 1001, 0), 1000) == frozenset()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_other_users_are_refused() -> None:
    """A process of another user gets a 403, even where the mode of the socket lets it in."""
    with tempfile.TemporaryDirectory() as place, socket.socket(socket.AF_UNIX) as connection:
        Path(place).chmod(0o755)
        daemon = Daemon(Path(place), Limits())
        try:
            os.seteuid(65534)
            connection.connect(daemon.path)
            os.seteuid(0)
            connection.sendall(
                b"POST /v1/shutdown HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\n\r\n"
            )
            answer = read_all(connection)
        finally:
            os.seteuid(0)
            daemon.close()
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert body_of(answer) == {"error": "cannot let user 65534 in"}
    assert not daemon.fleet.ending
