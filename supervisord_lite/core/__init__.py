"""WHAT to do: the supervisor's decisions as pure functions over values.

No I/O, no clock, no randomness. Facts come in (`event`), orders go out (`command`), and the
time is an argument. Read `worker` first: it is the life of one instance.
"""
