"""Takes a megabyte more every tenth of a second, and never gives one back."""

import time

kept = []
while True:
    kept.append(bytearray(1 << 20))
    print(f"{len(kept)} MiB", flush=True)
    time.sleep(0.1)
