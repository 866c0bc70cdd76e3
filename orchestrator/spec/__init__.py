"""Typed documents: workload, cluster profile, dataset card."""
