"""The first queue: strict order on one pool of slots; goes when the control loop runs on `fold`."""
