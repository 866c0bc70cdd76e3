"""Orders of the queue: who goes first. `ranking(policy)` gives the one that a policy names."""
