"""Files of weights of other tools, read without running anything in them."""
