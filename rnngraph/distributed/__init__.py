"""Several processes that work as one: what they ask of each other, and MPI, by which they ask."""
