"""The API over the Unix socket: HTTP/1.1 and JSON, for the owner of the daemon and for root."""
