"""What the benchmarks of a Ray cluster share: the cluster with a server of ours, and what both sides run there."""
