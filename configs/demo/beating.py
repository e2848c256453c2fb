"""Says that it is ready, and then again and again that it is alive: sd_notify(3), in a few lines.

When the file `run/frozen` appears in the directory above, it falls silent, as a program does that
hangs, and its watchdog finds out.
"""

import os
import socket
import time
from pathlib import Path

FROZEN = Path(__file__).parents[1] / "run/frozen"
speaker = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)


def say(words: str) -> None:
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address:
        speaker.sendto(words.encode(), address.replace("@", "\0", 1))


period = int(os.environ.get("WATCHDOG_USEC", "2000000")) / 1_000_000
say("READY=1\nSTATUS=counting heartbeats")
beats = 0
while True:
    if not FROZEN.exists():
        beats += 1
        say(f"WATCHDOG=1\nSTATUS={beats} heartbeats so far")
    time.sleep(period / 3)
