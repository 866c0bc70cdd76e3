"""A gang of fixed size on several nodes: its agents start together, and end together.

The agent of the first node leads: the others connect to its hub (`membership.hub`), it says when ranks start and end
(`rules` decides), and it has the last word on the run. `place` is what an agent sees of that, also where it is alone.
"""
