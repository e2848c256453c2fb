"""The busy worker: so many MiB of numbered lines, as fast as the pipe takes them, then silence.

Arguments: the MiB, a file for the time (CLOCK_MONOTONIC) of the first write, and either `once`,
to end then, or the number by which a benchmark knows its workers.
"""

import os
import sys
import time

_BLOCK = 64 * 1024  # what a pipe of the default size holds
_LINE = 64

mebibytes, begun, after = int(sys.argv[1]), sys.argv[2], sys.argv[3]
block = b"".join(b"%0*d\n" % (_LINE - 1, number) for number in range(_BLOCK // _LINE))
with open(begun, "w", encoding="ascii") as stream:
    stream.write(str(time.monotonic()))
left = mebibytes * 1024 * 1024
while left:
    left -= os.write(1, block[:left])
if after != "once":
    time.sleep(10**6)
