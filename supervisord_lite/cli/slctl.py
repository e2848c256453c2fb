"""`slctl`: the control API for people. Arguments in, text and an exit code out.

It decides nothing and knows no more than `supervisord_lite.client` tells it. Start-up time is
part of the interface: nothing is imported here that `slctl status` does not need.
"""

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

import click

from supervisord_lite.cli import exits, render
from supervisord_lite.client import Client

NAMES = click.argument("names", nargs=-1, required=True)
ANY_NAMES = click.argument("names", nargs=-1)
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print the API's JSON.")


def seconds(text: str) -> float:
    """A duration as in the configuration: `250ms`, `5s`, `2m`; a bare number is seconds."""
    from supervisord_lite.config.values import duration

    try:
        return duration(f"{text}s" if text.isdecimal() else text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def waiting(default: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The options of commands that can wait for what they asked to come true."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        wait = click.option("--wait/--no-wait", default=True, show_default=True)
        timeout = click.option(
            "--timeout", type=seconds, default=default, show_default=True, metavar="DURATION"
        )
        return wait(timeout(command))

    return decorate


@click.group(cls=exits.Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-s", "--socket", metavar="PATH", help="The daemon's control socket.")
@click.pass_context
def slctl(ctx: click.Context, socket: str | None) -> None:
    """Control a running supervisord-lite.

    NAMES are workers (web), instances (web:0), patterns ('web:*'), or all.
    """
    render.never_fail_on_characters()
    ctx.obj = socket


def client() -> Client:
    """The daemon that this command is for, found when the command's arguments have been read."""
    return Client(click.get_current_context().obj)


def dump(value: Any) -> None:
    sys.stdout.write(f"{json.dumps(value)}\n")


@slctl.command()
@ANY_NAMES
@AS_JSON
def status(names: Sequence[str], *, as_json: bool) -> None:
    """Show what runs, since when, and what does not and why."""
    daemon = client()
    rows = daemon.workers(*names)
    if as_json:
        dump({"workers": rows})
        return
    sys.stdout.write(render.table(rows))
    about = daemon.version()
    if about["held"]:
        render.complain("held: the daemon starts nothing by itself (slctl reload lifts it)")
    if about["held"] and about["last_words"]:
        sys.stderr.write("nothing is started by itself: managers have died, the last one with\n")
        sys.stderr.write(render.escape_lines(about["last_words"]) + "\n")


@slctl.command()
@NAMES
@waiting("60s")
@AS_JSON
def start(names: Sequence[str], *, wait: bool, timeout: float, as_json: bool) -> None:
    """Start what is not running."""
    _report(client().start(names, wait=wait, timeout=timeout), as_json=as_json)


@slctl.command()
@NAMES
@waiting("60s")
@AS_JSON
def stop(names: Sequence[str], *, wait: bool, timeout: float, as_json: bool) -> None:
    """Stop, with everything that was started below."""
    _report(client().stop(names, wait=wait, timeout=timeout), as_json=as_json)


@slctl.command()
@NAMES
@waiting("60s")
@AS_JSON
def restart(names: Sequence[str], *, wait: bool, timeout: float, as_json: bool) -> None:
    """Start a new run of each, after the present one has ended."""
    _report(client().restart(names, wait=wait, timeout=timeout), as_json=as_json)


@slctl.command()
@click.argument("signal")
@NAMES
@AS_JSON
def signal(signal: str, names: Sequence[str], *, as_json: bool) -> None:
    """Send SIGNAL (HUP, SIGHUP or 1) to the main process of each."""
    number_or_name = int(signal) if signal.isdecimal() else signal
    _report(client().signal(names, number_or_name), as_json=as_json)


def _report(answer: Any, *, as_json: bool) -> None:
    """One line an instance."""
    if as_json:
        dump(answer)
    else:
        for result in answer["results"]:
            sys.stdout.write(_result(result) + "\n")
    exits.finish([result["timed_out"] for result in answer["results"] if not result["ok"]])


def _result(result: Any) -> str:
    parts = [result["state"]]
    if result["pid"] is not None:
        parts.append(f"pid {result['pid']}")
    if not result["ok"]:
        parts.append(render.escape(result["message"]))
    return f"{render.escape(result['name'])}: {', '.join(parts)}"


@slctl.command()
@AS_JSON
@click.option("--detailed-exitcode", is_flag=True, help="Exit with 10 if there is anything to do.")
def plan(*, as_json: bool, detailed_exitcode: bool) -> None:
    """Show what a reload would do, and why; do nothing."""
    from supervisord_lite.cli import plans

    value = client().plan()
    _show_plan(value, as_json=as_json)
    if detailed_exitcode and not plans.is_empty(value):
        click.get_current_context().exit(exits.CHANGES)


@slctl.command()
@waiting("60s")
@AS_JSON
def reload(*, wait: bool, timeout: float, as_json: bool) -> None:
    """Read the configuration again and apply what differs."""
    answer = client().reload(wait=wait, timeout=timeout)
    _show_plan(answer, as_json=as_json)
    failed = [result for result in answer["results"] if not result["ok"]]
    for result in failed:
        render.complain(f"{result['name']}: {result['message']}")
    exits.finish([result["timed_out"] for result in failed])


def _show_plan(value: Any, *, as_json: bool) -> None:
    from supervisord_lite.cli import plans

    if as_json:
        dump(value)
        return
    for line in plans.lines(value):
        sys.stdout.write(line + "\n")


@slctl.command()
@ANY_NAMES
@click.option("-f", "--follow", is_flag=True, help="Go on showing what comes.")
@click.option("-n", "--lines", type=click.IntRange(0, 100_000), default=10, show_default=True)
@click.option("--stream", type=click.Choice(["stdout", "stderr"]), help="Only this stream.")
def logs(names: Sequence[str], *, follow: bool, lines: int, stream: str | None) -> None:
    """Show the last lines that workers have written."""
    from supervisord_lite.cli import logs as showing

    (showing.follow if follow else showing.show)(client(), names, lines, stream)


@slctl.command()
def reopen() -> None:
    """Open the logs again by their names, after something else has renamed them."""
    client().reopen_logs()


@slctl.command()
@waiting("90s")
def shutdown(*, wait: bool, timeout: float) -> None:
    """Stop everything in order, then the daemon."""
    client().shutdown(wait=timeout if wait else None)


@slctl.command()
@waiting("30s")
def leave(*, wait: bool, timeout: float) -> None:
    """End the daemon, but leave every worker running for the next one to adopt."""
    client().leave(wait=timeout if wait else None)


@slctl.command()
@ANY_NAMES
def pid(names: Sequence[str]) -> None:
    """Print the daemon's pid, or those of the instances NAMES that have one."""
    daemon = client()
    if not names:
        sys.stdout.write(f"{daemon.version()['keeper']}\n")
        return
    rows = daemon.workers(*names)
    for row in rows:
        if row["pid"] is not None:
            sys.stdout.write(f"{row['pid']}\n")
        else:
            render.complain(f"{row['name']} has no process: {row['state']}")
    exits.finish([False for row in rows if row["pid"] is None])


@slctl.command()
@AS_JSON
def version(*, as_json: bool) -> None:
    """Show the version of the running daemon, and what it is made of."""
    about = client().version()
    if as_json:
        dump(about)
        return
    for key, value in about.items():
        shown = ", ".join(map(str, value)) if isinstance(value, list) else value
        sys.stdout.write(f"{key}: {render.escape(str(shown))}\n")


@slctl.command()
@AS_JSON
def config(*, as_json: bool) -> None:
    """Show the configuration as it was applied, each value with where it was written."""
    values = client().config()
    if as_json:
        dump({"values": values})
        return
    for row in values:
        shown = row["value"] if isinstance(row["value"], str) else json.dumps(row["value"])
        text = f"{row['path']} = {shown}"
        sys.stdout.write(f"{render.escape(text)}  # {render.escape(row['origin'])}\n")


def main() -> None:
    slctl.main(prog_name="slctl")
