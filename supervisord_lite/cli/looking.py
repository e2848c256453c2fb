"""The commands of `slctl` that only look."""

import json
import sys
from collections.abc import Sequence

import click

from supervisord_lite.cli import exits, render
from supervisord_lite.cli.options import AS_JSON, choosing, client, dump
from supervisord_lite.client import ClientError


@click.command()
@choosing(needed=False)
@AS_JSON
def status(names: Sequence[str], *, selector: str | None, as_json: bool) -> None:
    """Show what runs, since when, and what does not and why."""
    daemon = client()
    seen = daemon.overview(*names, selector=selector)
    if as_json:
        dump(seen)
        return
    sys.stdout.write(render.table(seen["workers"]))
    for rollout in seen["rollouts"]:
        sys.stdout.write(f"roll-out of {render.rollout(rollout)}\n")
    about = daemon.version()
    if about["held"]:
        render.complain("held: the daemon starts nothing by itself (slctl reload lifts it)")
    if about["held"] and about["last_words"]:
        sys.stderr.write("nothing is started by itself: managers have died, the last one with\n")
        sys.stderr.write(render.escape_lines(about["last_words"]) + "\n")


@click.command()
@choosing(needed=True)
@AS_JSON
def explain(names: Sequence[str], *, selector: str | None, as_json: bool) -> None:
    """Say why each is in its state, down to the root, and what would change it."""
    from supervisord_lite.cli import accounts

    explanations = client().explain(*names, selector=selector)
    if as_json:
        dump({"explanations": explanations})
        return
    for explanation in explanations:
        for line in accounts.explanation(explanation):
            sys.stdout.write(line + "\n")


@click.command()
@choosing(needed=True)
@AS_JSON
def history(names: Sequence[str], *, selector: str | None, as_json: bool) -> None:
    """Show the last runs of jobs."""
    from supervisord_lite.cli import accounts

    runs = client().history(*names, selector=selector)
    if as_json:
        dump({"history": runs})
        return
    for run in runs:
        sys.stdout.write(accounts.job_run(run) + "\n")


@click.command(cls=exits.PlanCommand)
@AS_JSON
def plan(*, as_json: bool) -> None:
    """Show what a reload would do, and why; do nothing.

    Exits with 0 if there is nothing to do, with 2 if there is, and with 1 after any error.
    """
    from supervisord_lite.cli import plans

    try:
        value = client().plan()
    except ClientError as error:
        exits.say(error)
        click.get_current_context().exit(exits.FAILED)
    plans.show(value, as_json=as_json)
    if not plans.is_empty(value):
        click.get_current_context().exit(exits.CHANGES)


@click.command()
@choosing(needed=False)
@click.option("-f", "--follow", is_flag=True, help="Go on showing what comes.")
@click.option(
    "-n",
    "--lines",
    type=click.IntRange(0, 100_000),
    help="The last so many of each log; 10, or with --since or --grep all.",
)
@click.option(
    "--since", metavar="TIME", help="From then on: 10m, 02:00, '2026-11-23 02:00', RFC 3339."
)
@click.option("--until", metavar="TIME", help="Up to then.")
@click.option("--grep", metavar="PATTERN", help="Only lines that match (RE2 syntax).")
@click.option("--stream", type=click.Choice(["stdout", "stderr"]), help="Only this stream.")
@click.option("--after", multiple=True, metavar="CURSOR", help="Go on there (see --json).")
@click.option("--timestamps", is_flag=True, help="Show when each line came.")
@click.option("--no-color", is_flag=True, help="Without colours also on a terminal.")
@click.option("--daemon", is_flag=True, help="What the daemon itself says, too.")
@click.option("--reopen", is_flag=True, help="Show nothing: open every log again by its name.")
@AS_JSON
def logs(
    names: Sequence[str],
    *,
    selector: str | None,
    follow: bool,
    stream: str | None,
    after: Sequence[str],
    timestamps: bool,
    no_color: bool,
    daemon: bool,
    reopen: bool,
    as_json: bool,
    **which: str | int | None,
) -> None:
    """Show lines that workers have written, oldest first."""
    from supervisord_lite.cli import logs as showing

    if reopen:
        client().reopen_logs()
        return
    names = (*names, "@daemon") if daemon else tuple(names)
    wanted = showing.Wanted(names, selector, stream, follow, tuple(after), which)
    if as_json:
        showing.show_json(client(), wanted)
    else:
        showing.show(client(), wanted, timestamps=timestamps, colour=not no_color)


@click.command()
@AS_JSON
def feeds(*, as_json: bool) -> None:
    """Show who is fed output: shared taps and forwards, and how far behind they are."""
    from supervisord_lite.cli import feeds as showing

    rows = client().feeds()
    if as_json:
        dump({"feeds": rows})
    else:
        sys.stdout.write(showing.table(rows))


@click.command()
@choosing(needed=False)
def pid(names: Sequence[str], *, selector: str | None) -> None:
    """Print the daemon's pid, or those of the instances NAMES that have one."""
    daemon = client()
    if not names and selector is None:
        sys.stdout.write(f"{daemon.version()['keeper']}\n")
        return
    rows = daemon.workers(*names, selector=selector)
    for row in rows:
        if row["pid"] is not None:
            sys.stdout.write(f"{row['pid']}\n")
        else:
            render.complain(f"{row['name']} has no process: {row['state']}")
    exits.finish([False for row in rows if row["pid"] is None])


@click.command()
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


@click.command()
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


COMMANDS = (status, explain, history, plan, logs, feeds, pid, version, config)
