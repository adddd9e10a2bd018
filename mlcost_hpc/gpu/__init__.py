"""GPU counters and what they say about waste."""
