"""Learning: data and weights in and out, optimisers, the training loop and its checkpoints."""
