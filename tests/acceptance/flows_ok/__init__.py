"""Small flows that run, for what `flows.metrics` cannot show."""
