"""Shipped fakes: simulated clock, identifiers and engine, and the suite that every backend must pass."""
