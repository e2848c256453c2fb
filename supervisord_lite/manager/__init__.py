"""DOING it: the loop around the core, and how it comes back after a SIGKILL."""
