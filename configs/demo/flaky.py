"""Works, until it meets its fate: between half a second and eight seconds from now."""

import os
import random
import sys
import time

end = time.monotonic() + random.uniform(0.5, 8)
while time.monotonic() < end:
    print("working", os.getpid(), flush=True)
    time.sleep(1)
print("cannot go on: something has gone wrong", file=sys.stderr, flush=True)
sys.exit(random.randint(1, 3))
