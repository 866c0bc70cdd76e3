"""Engines behind one small protocol: this machine, Ray, Slurm."""
