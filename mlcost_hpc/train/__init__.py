"""Training side: checkpoints, signals, the resumable loop."""
