"""The keeper: the process that is parent of every worker and has no reason to die."""
