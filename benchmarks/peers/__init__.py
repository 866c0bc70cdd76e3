"""Other ways to keep and load the same samples, one module for each; what they share is in `share` and `inputs`.

A module of a peer has some of these functions, each a plain one, so that it can be called in a process of its own:

    write(folder, inputs)          puts all samples there in the peer's own format
    <reader>(folder, share)        opens it; returns the function that delivers this process's share of an epoch
    <loader>(folder, work)         opens it; returns the function that delivers an epoch in training batches

The function that comes back takes the number of the epoch and returns how many samples it delivered.
"""
