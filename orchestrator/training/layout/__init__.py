"""How parameters lie on the workers, and how the gradients of all slices become one: replicated, or sharded."""
