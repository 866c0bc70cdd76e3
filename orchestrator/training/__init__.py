"""The training engine: virtual workers, the fixed-order gradient sum, checkpoints, and the loop that runs a recipe."""
