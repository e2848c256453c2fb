"""Functions that the daemon runs as workers: they share a queue of jobs, a lock, memory."""

import asyncio
import os
import random
import time

from supervisord_lite.worker import channels, stopping


def produce(form: str, pause: float) -> None:
    """Put jobs into the queue; wait where it is full."""
    stop = stopping()
    number = 0
    while not stop.wait(pause):
        number += 1
        channels["jobs"].put(form.format(number))
    print(f"{number} jobs were put")


def resize() -> None:
    """Take jobs; whoever is killed at one loses that one only, and holds no lock afterwards."""
    while True:
        job = channels["jobs"].get()
        with channels["library"]:  # two at a time, however many of us there are
            time.sleep(0.05)
        size = random.choice(channels["sizes"])
        with channels["guard"]:
            channels["total"].value += 1
        channels["results"].put((os.getpid(), job, size))
        print(job, "is", size, "wide")


async def collect() -> None:
    """Print the results, and answer who asks how many there were."""
    line = channels["line"]
    loop = asyncio.get_running_loop()

    def answer() -> None:
        line.recv()
        line.send(channels["total"].value)

    loop.add_reader(line.fileno(), answer)
    while True:
        pid, job, size = await asyncio.to_thread(channels["results"].get)
        print(f"{job}: {size} by {pid}")


def ask(every: float) -> None:
    """Ask, and print the answer."""
    line = channels["line"]
    while not stopping().wait(every):
        line.send("how many?")
        print(line.recv(), "are done")
