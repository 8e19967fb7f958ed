"""The page to explore: its data as JSON (`stages`, `costs`, `memory`, `values`), the one file, and its server."""
