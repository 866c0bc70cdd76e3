"""What simulations read and write, by name; imports nothing, so that a command line can offer it."""

LAYOUTS = ("plain", "philly", "helios", "pai2020", "pai2023")
"""Of traces."""
PLOTS = (".png", ".svg", ".pdf")
"""Endings of plots."""
