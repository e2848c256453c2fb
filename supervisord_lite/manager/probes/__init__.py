"""Finding out how runs are: ready, healthy, alive. `prober` is the entrance, the rest its means."""
