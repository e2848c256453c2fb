"""Handing descriptors to the program that takes our place."""

import os
import subprocess
import sys

PROGRAM = """
import os, sys
from supervisord_lite.linux import notify
if len(sys.argv) > 1:
    held = notify.stored_descriptors(os.environ)
    print({name: os.readlink(f"/proc/self/fd/{number}") for name, number in held.items()})
    print([os.get_inheritable(number) for number in held.values()])
else:
    names = ["channel/web/socket", "a:b", "third"]
    ends = [*os.pipe(), os.open("/dev/null", os.O_RDONLY)]
    print({name: os.readlink(f"/proc/self/fd/{end}") for name, end in zip(names, ends)})
    variables = notify.pass_on(dict(zip(names, ends)))
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, "-c", sys.argv[0], "again"], os.environ | variables)
"""


def test_the_next_program_finds_them_by_name() -> None:
    """Whatever their numbers were, with names that are no plain words; and keeps them to itself."""
    program = PROGRAM.replace("sys.argv[0]", "os.environ['PROGRAM']")
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PROGRAM": program},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    before, after, inheritable = done.stdout.splitlines()
    assert before == after
    assert inheritable == "[False, False, False]"
