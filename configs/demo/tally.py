"""Counts the visits that come through the pipe on stdin."""

import sys
from collections import Counter

counts: Counter[str] = Counter()
for line in sys.stdin:
    counts[line.split(maxsplit=1)[0]] += 1
    if counts.total() % 5 == 0:
        print(", ".join(f"{count} {outcome}" for outcome, count in counts.items()), flush=True)
print("no writer is left: the end", flush=True)
