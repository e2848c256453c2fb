"""`python -m tests.simulation --events N --seed S [--instances N] [--replay FILE]`."""

import argparse
import gc
import sys
from pathlib import Path

from .campaign import Shrinker, play, replay, write


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--instances", type=int, default=20)
    parser.add_argument("--shrink", type=float, default=60.0, help="seconds for a shorter trace")
    parser.add_argument("--replay", type=Path, help="a trace that a failing campaign has written")
    asked = parser.parse_args()
    gc.set_threshold(50_000, 50, 50)  # as the daemon has it: what a fleet makes has no circles
    if asked.replay:
        report = replay(asked.replay)
    else:
        report = play(asked.seed, asked.instances, asked.events)
    print(report)
    if report.violation is None:
        return 0
    if not asked.replay:
        report = Shrinker(report, asked.shrink).shrink()
        path = Path(f"simulation-{report.seed}-{report.size}.json")
        write(report, path)
        print(f"replay it: python -m tests.simulation --replay {path}")
    assert report.setting is not None
    for stimulus in (report.setting.stimuli or ())[-20:]:
        print("  ", stimulus)
    for step in report.steps[-20:]:
        print("  ", step)
    return 1


sys.exit(main())
