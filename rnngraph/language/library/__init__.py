"""The standard cells and layers, in the language itself."""
