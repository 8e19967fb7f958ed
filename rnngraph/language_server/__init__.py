"""The language server: what `editor` knows of a text, in the language server protocol, by pygls."""
