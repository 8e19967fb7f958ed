"""Several processes: what they ask of each other, and MPI, by which they ask."""
