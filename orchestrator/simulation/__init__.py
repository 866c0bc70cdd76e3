"""Discrete-event simulation of a cluster: the same `decide`, recorded or made-up loads, faults, figures and plots."""
