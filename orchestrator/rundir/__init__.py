"""The run directory: the only contract between the control plane and the work plane.

Layout (decisions 2)::

    jobs/<job>/spec.yaml                 the frozen, resolved workload (JSON, which is YAML)
    jobs/<job>/job.json                  owner and code version
    jobs/<job>/fence                     the newest fencing token; older writers are refused
    jobs/<job>/dataset_version           of the data, written when a run first opens it; no run sees another
    jobs/<job>/checkpoints/              belong to the job: a run finds its predecessor's
    jobs/<job>/trials/<index>.json       records of a search's trials, kept by us
    jobs/<job>/results/                  files for people: plots, tables, summary.json
    jobs/<job>/tracking/<writer>/        metrics on their way to the tracker
    jobs/<job>/runs/<run>/launch.json    what the agents start
    jobs/<job>/runs/<run>/control.json   what the controller wants; only the controller writes it
    jobs/<job>/runs/<run>/agent-<n>.json  which process runs allocation <n>; claimed once, for ever
    jobs/<job>/runs/<run>/stop-<n>.json   how long a backend lets that agent take to stop
    jobs/<job>/runs/<run>/membership/     of an elastic run: secret, term-<n>.json (who coordinates), view-<epoch>.json
    jobs/<job>/runs/<run>/audit/<writer>/<number>.jsonl
    jobs/<job>/runs/<run>/events/<writer>/<seq>.json
    jobs/<job>/runs/<run>/logs/<writer>.log
"""
