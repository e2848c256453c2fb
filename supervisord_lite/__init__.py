"""supervisord-lite: a process supervisor whose workers and logs survive the supervisor itself."""

__version__ = "0.1.0"
