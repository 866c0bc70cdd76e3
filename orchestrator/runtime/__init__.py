"""What runs inside an allocation: the agent, its guard, the ranks, and what a rank knows of its run."""
