"""`supervisord-lite`: start the daemon, or check what it would be started with.

`run` is on the way of every boot: it imports neither the YAML nor the validation library, which
only the configuration compiler's process carries.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import click

import supervisord_lite
from supervisord_lite.cli import render

FILES = click.option(
    "-c",
    "--config",
    "files",
    metavar="FILE",
    multiple=True,
    required=True,
    help="The configuration; more of them overlay the earlier ones.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(supervisord_lite.__version__, message="supervisord-lite %(version)s")
def supervisord_lite_command() -> None:
    """Run workers, keep them running, keep what they say."""
    render.never_fail_on_characters()


@supervisord_lite_command.command()
@FILES
@click.option("--hold", is_flag=True, help="Restore and show, but start nothing by itself.")
def run(files: Sequence[str], *, hold: bool) -> None:
    """Start the daemon in the foreground."""
    from supervisord_lite import daemon

    # The daemon's working directory is not the caller's.
    daemon.run([str(Path(file).absolute()) for file in files], hold)


@supervisord_lite_command.command()
@FILES
def check(files: Sequence[str]) -> None:
    """Say whether the configuration can be used, with everything that is wrong in it."""
    from supervisord_lite.config.compiler import EXIT_INVALID, compile_files
    from supervisord_lite.config.errors import Invalid

    try:
        compiled = compile_files(files)
    except Invalid as invalid:
        for problem in invalid.problems:
            render.complain(problem)
        sys.exit(EXIT_INVALID)
    for warning in compiled.warnings:
        render.complain(f"warning: {warning}")
    instances = compiled.configuration.instances
    workers = {instance.worker for instance in instances}
    sys.stdout.write(f"ok: {len(workers)} workers, {len(instances)} instances\n")


@supervisord_lite_command.command()
def version() -> None:
    """Print the version."""
    sys.stdout.write(f"supervisord-lite {supervisord_lite.__version__}\n")


def main() -> None:
    supervisord_lite_command.main(prog_name="supervisord-lite")
