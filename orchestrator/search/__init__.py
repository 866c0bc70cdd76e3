"""Searches: a population sampled from a design space, trained through Ray Tune, and the statistics of its errors."""
