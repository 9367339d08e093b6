"""Training runs of any model: optimizer, accumulation, loop, checkpoints, reports."""
