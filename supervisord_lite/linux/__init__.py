"""One kernel facility a module, with the man page it follows. Nothing here knows what it is for."""
