"""Log files: named, indexed, rotated, compressed, removed."""
