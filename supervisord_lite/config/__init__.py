"""YAML to `core.spec.Configuration`, or every error at once with file:line:column."""
