"""A model as one Python file with nothing but NumPy in it."""
