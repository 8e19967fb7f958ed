"""Training: batches, optimisers, the loop, its checkpoints."""
