"""The reconcile loop, the only code that moves a job, and the job service behind the API."""
