"""Gradient checkpointing over time: which states are kept, which steps run again, what is swapped out."""
