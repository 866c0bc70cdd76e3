"""One router for each noun of the API; handlers are plain functions over the job service."""
