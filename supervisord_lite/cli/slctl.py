"""`slctl`: the control API for people. Arguments in, text and an exit code out.

It decides nothing and knows no more than `supervisord_lite.client` tells it. Start-up time is
part of the interface: nothing is imported here that `slctl status` does not need.
"""

import click

import supervisord_lite
from supervisord_lite.cli import channels, exits, looking, ordering, render, rollouts


@click.group(cls=exits.Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(supervisord_lite.__version__, message="slctl %(version)s")
@click.option("-s", "--socket", metavar="PATH", help="The daemon's control socket.")
@click.pass_context
def slctl(ctx: click.Context, socket: str | None) -> None:
    """Control a running supervisord-lite.

    NAMES are workers (web), instances (web:0), patterns ('web:*'), or all.
    """
    render.never_fail_on_characters()
    ctx.obj = socket


for command in (*looking.COMMANDS, *ordering.COMMANDS, rollouts.rollout, channels.channel):
    slctl.add_command(command)


def main() -> None:
    slctl.main(prog_name="slctl")
