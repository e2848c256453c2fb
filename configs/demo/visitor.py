"""Visits the web server every now and then, and writes a line about each visit to stdout."""

import os
import sys
import time
import urllib.request

URL = f"http://127.0.0.1:{os.environ['PORT']}/"

while True:
    try:
        with urllib.request.urlopen(URL, timeout=5) as answer:
            print("ok", answer.read().decode().strip(), flush=True)
    except OSError as error:
        print("failed", flush=True)
        print(f"cannot visit {URL}: {error}", file=sys.stderr, flush=True)
    time.sleep(0.5)
