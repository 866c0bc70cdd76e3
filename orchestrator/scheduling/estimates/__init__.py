"""Run time and memory of a workload before it has run: pure functions of its features and of what was measured."""
