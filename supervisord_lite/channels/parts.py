"""The descriptors that make up a channel, by the name of the part, and what is known of one."""

Parts = dict[str, int]
# For people and for JSON. `depth` is how much waits in the channel, in what `unit` says.
Facts = dict[str, int | str | bool | None]

BELL = "bell"  # of a queue: an eventfd, which is never waited for in read(2)
