"""Sharded Arrow datasets: writer, index, memory-mapped reader, world-size independent order, converters.

Words: a *row* is a place in a split of a dataset; a *position* is a place in the order of an epoch. `order` maps
positions to rows, `loader` turns positions into batches, and augmentation is keyed by position.
"""
