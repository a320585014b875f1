"""Sweeps: many certified solves of one case, on one machine or a cluster, that survive being killed.

`point` solves one point, `table` keeps the rows, `run` joins them on a backend of `planner.studies.engine`, `questions`
asks the rows (tornado, break-even), `cluster` tells how long the same points would take on other machines.
"""
