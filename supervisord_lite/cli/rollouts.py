"""`slctl rollout`: restarting workers bit by bit, watching that, and going back."""

import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import click

from supervisord_lite.cli import exits, render
from supervisord_lite.cli.options import AS_JSON, choosing, client, dump, waiting
from supervisord_lite.client import Client
from supervisord_lite.core.span import span

_LOOK_EVERY = 0.2  # seconds
_ACTIVE = {"under way", "going back"}
_BAD_ENDS = {"went back", "stopped"}


@click.group()
def rollout() -> None:
    """Bring workers to new runs by their update policies."""


@rollout.command()
@choosing(needed=True)
@waiting("10m")
@AS_JSON
def restart(
    names: Sequence[str], *, selector: str | None, wait: bool, timeout: float, as_json: bool
) -> None:
    """Replace every run of these workers, by their update policies."""
    daemon = client()
    if as_json:
        answer = daemon.rollout_restart(names, selector=selector, wait=wait, timeout=timeout)
        _dump(answer)
        return
    answer = daemon.rollout_restart(names, selector=selector, wait=False)
    _follow(daemon, answer, timeout if wait else None)


@rollout.command()
@choosing(needed=True)
@waiting("10m")
@AS_JSON
def undo(
    names: Sequence[str], *, selector: str | None, wait: bool, timeout: float, as_json: bool
) -> None:
    """Take these workers back to what they were before their last roll-out."""
    daemon = client()
    if as_json:
        answer = daemon.rollout_undo(names, selector=selector, wait=wait, timeout=timeout)
        _dump(answer)
        return
    answer = daemon.rollout_undo(names, selector=selector, wait=False)
    _follow(daemon, answer, timeout if wait else None)


@rollout.command()
@choosing(needed=False)
@AS_JSON
def status(names: Sequence[str], *, selector: str | None, as_json: bool) -> None:
    """Show the last roll-out of each worker. Exits with 1 if one of them has failed."""
    rollouts = client().rollouts(*names, selector=selector)
    if as_json:
        dump({"rollouts": rollouts})
    else:
        for one in rollouts:
            sys.stdout.write(f"{render.rollout(one)}, {_when(one)}\n")
    exits.finish([False for one in rollouts if one["progress"] in _BAD_ENDS])


def _dump(answer: Any) -> None:
    dump(answer)
    exits.finish([result["timed_out"] for result in answer["results"] if not result["ok"]])


def _follow(daemon: Client, answer: Any, timeout: float | None) -> None:
    """Show how it goes until it is over, or only how it begins if there is no time for more."""
    workers = [result["name"] for result in answer["results"]]
    deadline = time.monotonic() + (timeout or 0.0)
    show = _printer()
    while True:
        rollouts = daemon.rollouts(*workers)
        for one in rollouts:
            show(one)
        going = [one for one in rollouts if one["progress"] in _ACTIVE]
        if not going or timeout is None:
            break
        if time.monotonic() > deadline:
            text = f"timed out: not over after {span(timeout)}, and goes on"
            render.complain(f"{', '.join(one['worker'] for one in going)}: {text}")
            break
        time.sleep(_LOOK_EVERY)
    failed = [False for one in rollouts if one["progress"] in _BAD_ENDS]
    exits.finish(failed + ([True] * len(going) if timeout is not None else []))


def _printer() -> Callable[[Any], None]:
    """What prints a roll-out whenever there is something new about it."""
    printed: dict[str, str] = {}

    def show(one: Any) -> None:
        line = render.rollout(one)
        if printed.get(one["worker"]) != line:
            printed[one["worker"]] = line
            sys.stdout.write(line + "\n")
            sys.stdout.flush()

    return show


def _when(one: Any) -> str:
    began = f"began {render.moment(one['began'])}"
    return began if one["ended"] is None else f"{began}, ended {render.moment(one['ended'])}"
