"""Channels: IPC objects that workers share by name, held so that they outlive every worker."""
