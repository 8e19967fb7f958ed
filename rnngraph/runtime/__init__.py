"""Runtime: backends, and programs run with arrays."""
