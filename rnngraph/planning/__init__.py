"""Planning: a graph lowered to steps over slots, their lifetimes, and the arena that holds them."""
