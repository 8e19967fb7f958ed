"""The intermediate representation: types, the graph and its rewriter, its laws, its text."""
