"""What a workload will do, said before anything starts: its launch, its cost, and whether the cluster can hold it."""
