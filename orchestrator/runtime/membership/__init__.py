"""Who takes part in a run: the coordinator that makes views, the hub and links that carry them, what a worker sees.

In an agent: `seat` (its place) is `coordinating` (`coordinator` decides, `hub` talks) or `following` another's hub;
`terms` say whose turn it is. In a worker: `link` is what its training thread sees, `talk` the thread that talks for it.
"""
