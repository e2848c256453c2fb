"""From the pipes of workers into files."""
