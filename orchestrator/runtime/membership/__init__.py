"""Who takes part in a run: the coordinator that makes views, the hub and links that carry them, what a worker sees."""
