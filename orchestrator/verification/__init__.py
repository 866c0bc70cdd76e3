"""Proof that a result does not depend on what happens to the workers: scripted storms, and trails that are compared."""
