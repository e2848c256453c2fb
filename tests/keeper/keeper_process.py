"""A keeper as a process of its own: `keeper_process.py DIRECTORY MANAGER...`."""

import sys

from supervisord_lite.keeper.keeper import Keeper, Settings

if __name__ == "__main__":
    sys.exit(Keeper(Settings(directory=sys.argv[1], manager=sys.argv[2:])).run())
