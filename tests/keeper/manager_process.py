"""A manager without a will: hands its link over to the test that listens at argv[1], and waits."""

import array
import os
import signal
import socket
import sys

if __name__ == "__main__":
    test = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    test.connect(sys.argv[1])
    rights = array.array("i", [3])
    test.sendmsg([b"%d" % os.getpid()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
    os.close(3)
    while True:
        signal.pause()
