"""What an editor asks of a text and a place in it: shapes, completions, definitions, fixes. Pure functions of texts."""
