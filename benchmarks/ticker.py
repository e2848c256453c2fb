"""A worker that writes the next number every millisecond, from 0 on. Its argument marks it."""

import itertools
import os
import time

for number in itertools.count():
    os.write(1, b"%d\n" % number)
    time.sleep(0.001)
