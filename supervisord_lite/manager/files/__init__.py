"""Watching files for instances that are to be restarted with them. `watching` is the entrance."""
