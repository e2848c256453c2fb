"""The other end of a pipeline: reads so many MiB from stdin and writes down when it had them all.

Arguments: the MiB, and a file for the time (CLOCK_MONOTONIC). Then silence, to be killed in.
"""

import os
import sys
import time

_BLOCK = 64 * 1024

left = int(sys.argv[1]) * 1024 * 1024
while left:
    left -= len(os.read(0, min(_BLOCK, left)))
with open(f"{sys.argv[2]}.new", "w", encoding="ascii") as stream:
    stream.write(str(time.monotonic()))
os.rename(f"{sys.argv[2]}.new", sys.argv[2])
if sys.argv[3] != "once":
    time.sleep(10**6)
