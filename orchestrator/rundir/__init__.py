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
    jobs/<job>/runs/<run>/stop-<n>.json   the agents of that allocation are to stop: why, and how long they may take
    jobs/<job>/runs/<run>/given-back-<n>.json  why an agent of that allocation had the engine end it
    jobs/<job>/runs/<run>/slurm-<n>.json  what the batch step of a Slurm job has to know
    jobs/<job>/runs/<run>/batch-<n>.json  which Slurm job runs that allocation; claimed once, for ever
    jobs/<job>/runs/<run>/membership/     secret, term-<n>.json (who coordinates); of an elastic run view-<epoch>.json
    jobs/<job>/runs/<run>/audit/<writer>/<number>.jsonl
    jobs/<job>/runs/<run>/events/<writer>/<seq>.json
    jobs/<job>/runs/<run>/logs/<writer>.log
"""
