"""Sweeps: many certified solves of one case, on one machine or a cluster, that survive being killed.

`point` solves one point, `engine` runs points on a backend, `table` keeps the rows, `run` joins them, `questions` asks
the rows (tornado, break-even).
"""
