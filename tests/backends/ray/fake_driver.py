"""What a fake Ray starts in the place of `orchestrator.onray.driver`: the agent itself, once."""

import os
import sys

from orchestrator.rundir.grant import Grant
from orchestrator.rundir.rayjob import claim_ray_job, read_ray_job
from orchestrator.runtime.agent import allocation_of, run_agent

if __name__ == "__main__":
    files = allocation_of("driver", sys.argv[1:])
    read_ray_job(files)
    if files.read_claim() is not None or not claim_ray_job(files, str(os.getpid())):
        sys.exit(0)
    sys.exit(run_agent(files, Grant()))
