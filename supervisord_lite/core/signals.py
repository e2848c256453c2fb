"""The signals of Linux by number and name, as signal(7) lists them for the common architectures.

The core may not ask the running system, and a name in a record or a reason must not depend on it.
"""

NAMES = {
    1: "HUP",
    2: "INT",
    3: "QUIT",
    4: "ILL",
    5: "TRAP",
    6: "ABRT",
    7: "BUS",
    8: "FPE",
    9: "KILL",
    10: "USR1",
    11: "SEGV",
    12: "USR2",
    13: "PIPE",
    14: "ALRM",
    15: "TERM",
    16: "STKFLT",
    17: "CHLD",
    18: "CONT",
    19: "STOP",
    20: "TSTP",
    21: "TTIN",
    22: "TTOU",
    23: "URG",
    24: "XCPU",
    25: "XFSZ",
    26: "VTALRM",
    27: "PROF",
    28: "WINCH",
    29: "IO",
    30: "PWR",
    31: "SYS",
}
FIRST_REALTIME, LAST_REALTIME = 34, 64

KILL, TERM = 9, 15


def signal_name(number: int) -> str:
    """Such as "SIGTERM" for 15, "SIGRTMIN+1" for 35."""
    if number in NAMES:
        return f"SIG{NAMES[number]}"
    if FIRST_REALTIME <= number <= LAST_REALTIME:
        offset = number - FIRST_REALTIME
        return f"SIGRTMIN+{offset}" if offset else "SIGRTMIN"
    return f"signal {number}"
