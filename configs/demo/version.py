"""A worker that has a version: it says so on a Unix socket once it has warmed up.

Version 3 is a bad one: it never becomes ready.
"""

import os
import sys
import time
from pathlib import Path

version, path = sys.argv[1:]
print(f"version {version} warms up", flush=True)
time.sleep(1)
if version == "3":
    sys.exit("version 3 does not work")
bound = Path(__file__).with_name("bound.py")
os.execv(sys.executable, [sys.executable, str(bound), path])
