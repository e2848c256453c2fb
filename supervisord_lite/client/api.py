"""The daemon's verbs as methods. What a call returns is the API's JSON (docs/api.md)."""

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from supervisord_lite.client.errors import ApiError, Broken, NoDaemon, TimedOut
from supervisord_lite.client.finding import find_socket, is_live
from supervisord_lite.client.resuming import resumed
from supervisord_lite.client.transport import Transport
from supervisord_lite.client.wire import quoted

_WAIT = 60.0

Rows = list[dict[str, Any]]


class Client:
    """One daemon, at `path` (found by `find_socket` if None).

    Methods that choose instances take names (workers, instances, patterns, "all") and a
    `selector` of labels ("tier=web,env!=prod,team"); with both, what both choose. Those that wait
    do so for at most `timeout` seconds, which end the waiting and not the doing.
    """

    def __init__(self, path: str | None = None) -> None:
        self.path = find_socket(path)
        self._daemon = Transport(self.path)

    # ---------------------------------------------------------------- looking

    def workers(self, *names: str, selector: str | None = None) -> Rows:
        """One row an instance; all of them without names."""
        rows: Rows = self.overview(*names, selector=selector)["workers"]
        return rows

    def overview(self, *names: str, selector: str | None = None) -> Any:
        """The same under "workers", and under "rollouts" those of these workers that are under
        way.
        """
        return self._daemon.get("/v1/workers", _choice(names, selector))

    def explain(self, *names: str, selector: str | None = None) -> Rows:
        """Why each instance is in its state, and what would change it."""
        rows: Rows = self._daemon.get("/v1/explain", _choice(names, selector))["explanations"]
        return rows

    def history(self, *names: str, selector: str | None = None) -> Rows:
        """The last runs of jobs, the newest of each first."""
        rows: Rows = self._daemon.get("/v1/history", _choice(names, selector))["history"]
        return rows

    def rollouts(self, *names: str, selector: str | None = None) -> Rows:
        """The last roll-out of each worker that had one, under way or over."""
        rows: Rows = self._daemon.get("/v1/rollouts", _choice(names, selector))["rollouts"]
        return rows

    # ---------------------------------------------------------------- instances

    def start(
        self,
        names: Sequence[str],
        *,
        selector: str | None = None,
        wait: bool = True,
        timeout: float = _WAIT,
    ) -> Any:
        """Want these up, and what they depend on."""
        return self._order("workers/start", names, selector, wait=wait, timeout=timeout)

    def stop(
        self,
        names: Sequence[str],
        *,
        selector: str | None = None,
        wait: bool = True,
        timeout: float = _WAIT,
    ) -> Any:
        """Want these down, and nothing else."""
        return self._order("workers/stop", names, selector, wait=wait, timeout=timeout)

    def restart(
        self,
        names: Sequence[str],
        *,
        selector: str | None = None,
        wait: bool = True,
        timeout: float = _WAIT,
    ) -> Any:
        """A new run of each; whole workers by their update policy."""
        return self._order("workers/restart", names, selector, wait=wait, timeout=timeout)

    def run(
        self,
        names: Sequence[str],
        *,
        selector: str | None = None,
        wait: bool = True,
        timeout: float = _WAIT,
    ) -> Any:
        """One run of these jobs or tasks now; results carry how it ended (`exit`)."""
        return self._order("workers/run", names, selector, wait=wait, timeout=timeout)

    def signal(
        self, names: Sequence[str], signal: str | int, *, selector: str | None = None
    ) -> Any:
        """Send a signal, by name or number, to the main processes."""
        body = {**_chosen(names, selector), "signal": signal}
        return self._daemon.post("/v1/workers/signal", body)

    def reload_workers(self, names: Sequence[str], *, selector: str | None = None) -> Any:
        """Have these read their own configuration again: each is sent its reload signal."""
        return self._daemon.post("/v1/workers/reload", _chosen(names, selector))

    def scale(self, counts: Mapping[str, int], *, wait: bool = True, timeout: float = _WAIT) -> Any:
        """So many instances of these workers from now on; returns the plan that was applied."""
        body = {"counts": dict(counts), "wait": wait, "timeout": timeout}
        return self._daemon.post("/v1/scale", body, timeout)

    def rollout_restart(
        self,
        names: Sequence[str],
        *,
        selector: str | None = None,
        wait: bool = True,
        timeout: float = _WAIT,
    ) -> Any:
        """Restart workers by their update policy; results are one a worker."""
        return self._order("rollouts/restart", names, selector, wait=wait, timeout=timeout)

    def rollout_undo(
        self,
        names: Sequence[str],
        *,
        selector: str | None = None,
        wait: bool = True,
        timeout: float = _WAIT,
    ) -> Any:
        """Take workers back to what they were before their last roll-out."""
        return self._order("rollouts/undo", names, selector, wait=wait, timeout=timeout)

    # ---------------------------------------------------------------- configuration

    def plan(self) -> Any:
        """What `reload` would do."""
        return self._daemon.get("/v1/plan")

    def reload(self, *, wait: bool = True, timeout: float = _WAIT) -> Any:
        """Read the configuration again and apply what differs; returns the plan."""
        return self._daemon.post("/v1/reload", {"wait": wait, "timeout": timeout}, timeout)

    def config(self) -> Rows:
        """The applied configuration, one row a value, with its origin."""
        values: Rows = self._daemon.get("/v1/config")["values"]
        return values

    # ---------------------------------------------------------------- logs

    def logs(
        self,
        names: Sequence[str],
        *,
        selector: str | None = None,
        lines: int = 10,
        stream: str | None = None,
        cursors: Mapping[str, str] | None = None,
    ) -> Rows:
        """What is in the logs now: the last lines, or what comes after `cursors`."""
        query = [*_choice(names, selector), *_reading(lines, stream, cursors or {})]
        found: Rows = self._daemon.get("/v1/logs", query)["logs"]
        return found

    def follow(
        self,
        names: Sequence[str],
        *,
        selector: str | None = None,
        lines: int = 10,
        stream: str | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Output as it comes, until the daemon is gone: `{"name", "stream", "text"}`."""
        cursors: dict[str, str] = {}
        chosen = [("follow", "1"), *_choice(names, selector)]
        while True:
            try:
                query = [*chosen, *_reading(lines, stream, cursors)]
                for event in self._daemon.events("/v1/logs", query):
                    source, _, cursor = event["id"].rpartition("@")
                    cursors[source] = cursor
                    if event["event"] == "output":
                        yield json.loads(event["data"])
            except Broken:
                pass  # the manager died; the next one takes the connection that comes now
            except NoDaemon:
                return
            time.sleep(0.1)  # a manager that cannot stay up is not worth a busy loop

    def lines(
        self,
        names: Sequence[str],
        *,
        selector: str | None = None,
        stream: str | None = None,
        follow: bool = False,
        cursors: Mapping[str, str] | None = None,
        **which: str | int | None,
    ) -> Iterator[dict[str, Any]]:
        """Lines in the order of time, or from `cursors` on, each with its "cursor"; with `follow`
        also as they come, until the daemon is gone. `which` is `lines`, `since`, `until` and
        `grep` as the API has them.
        """
        chosen = [("format", "json"), *_choice(names, selector)]
        chosen += [("stream", stream)] if stream else []
        chosen += [(key, str(value)) for key, value in which.items() if value is not None]
        return resumed(self._daemon, chosen, dict(cursors or {}), follow=follow)

    def feeds(self) -> Rows:
        """Who is fed output, and how far behind each is: shared taps and forwards."""
        rows: Rows = self._daemon.get("/v1/feeds")["feeds"]
        return rows

    def reopen_logs(self) -> None:
        """Open every log again by its name."""
        self._daemon.post("/v1/logs/reopen", {})

    # ---------------------------------------------------------------- channels

    def channels(self, name: str | None = None) -> Rows:
        """One row a channel, or the one: what it is, what is in it, who has it open."""
        path = "/v1/channels" if name is None else _channel(name)
        rows: Rows = self._daemon.get(path)["channels"]
        return rows

    def channel(self, name: str, use: str | None = None) -> dict[str, Any]:
        """Open a channel here: its descriptors, and what they are, as workers are told of theirs:
        `supervisord_lite.worker.named.Channels(client.channel("work"))["work"].put(1)`.
        """
        query = [] if use is None else [("use", use)]
        return self._daemon.channel(_channel(name, "/open"), query)

    def put(self, name: str, data: bytes, wait: float = 0.0) -> Any:
        """Put a message into a queue, or bytes into a pipe; "ok" is False if there was no room for
        all of it within `wait` seconds.
        """
        query = [("wait", str(wait))]
        return self._daemon.send(_channel(name, "/put"), data, query, wait)

    def get(self, name: str, wait: float = 0.0) -> Any:
        """Take a message out of a queue, or bytes out of a pipe; None if nothing came."""
        query = [("wait", str(wait))]
        return self._daemon.send(_channel(name, "/get"), b"", query, wait)["message"]

    def peek(self, name: str, count: int = 1) -> Any:
        """The next "messages", which stay there, or the "values" of shared memory."""
        return self._daemon.get(_channel(name, "/peek"), [("count", str(count))])

    # ---------------------------------------------------------------- the daemon

    def version(self) -> Any:
        """Name, version, pids and files of the daemon."""
        return self._daemon.get("/v1/version")

    def shutdown(self, *, wait: float | None = None) -> None:
        """Stop everything, then the daemon; if `wait`, return when it has ended. TimedOut after."""
        self._end("/v1/shutdown", wait)

    def leave(self, *, wait: float | None = None) -> None:
        """End the daemon and leave the workers alive, for the next one to adopt; wait as above."""
        self._end("/v1/leave", wait)

    def _end(self, path: str, wait: float | None) -> None:
        if wait is None:
            self._daemon.post(path, {})
            return
        daemon = f"/proc/{self.version()['keeper']}"
        seen = os.path.exists(daemon)  # not if it is in another pid namespace
        self._daemon.post(path, {})
        deadline = time.monotonic() + wait
        # That nobody listens tells the end, too, but another daemon may have come at once.
        while is_live(self.path) and (not seen or os.path.exists(daemon)):
            if time.monotonic() > deadline:
                raise TimedOut(f"cannot wait any longer: the daemon at {self.path} still runs")
            time.sleep(0.05)

    def _order(
        self, verb: str, names: Sequence[str], selector: str | None, *, wait: bool, timeout: float
    ) -> Any:
        body = {**_chosen(names, selector), "wait": wait, "timeout": timeout}
        return self._daemon.post(f"/v1/{verb}", body, timeout if wait else 0.0)


def _channel(name: str, verb: str = "") -> str:
    if not name or "/" in name:  # it would be another route
        raise ApiError(404, f"cannot find a channel named {name or repr(name)}")
    return f"/v1/channels/{quoted(name)}{verb}"


def _choice(names: Sequence[str], selector: str | None) -> list[tuple[str, str]]:
    """The choice of instances as a query."""
    query = [("name", name) for name in names]
    return [*query, ("selector", selector)] if selector is not None else query


def _chosen(names: Sequence[str], selector: str | None) -> dict[str, Any]:
    """The same in a body."""
    body: dict[str, Any] = {"names": list(names)} if names or selector is None else {}
    return body if selector is None else {**body, "selector": selector}


def _reading(lines: int, stream: str | None, cursors: Mapping[str, str]) -> list[tuple[str, str]]:
    """What of the logs is to be read, as a query."""
    query = [("lines", str(lines))]
    if stream:
        query.append(("stream", stream))
    return query + [("cursor", f"{source}@{cursor}") for source, cursor in cursors.items()]
