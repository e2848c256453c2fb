"""What a manager does about output: streams of instances, logs, feeds, and its own words."""
