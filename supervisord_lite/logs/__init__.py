"""The data plane: worker output from pipe to file, and back out to everyone who reads it.

Knows no states. Every reader of output reads from the file, at an offset of its own.
"""
