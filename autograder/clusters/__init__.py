"""Grading on many machines: a dask cluster, its workers, and Slurm."""
