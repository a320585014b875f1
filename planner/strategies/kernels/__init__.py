"""The hot loops of the search, compiled by numba and cached on disk.

Conventions: ``assign`` int64 [gpu, slot] holds the expert of each slot, -1 past a GPU's slots; ``count`` int64 [expert]
the copies; ``share`` float64 [expert] the load of one copy; ``load`` float64 [gpu] load over relative speed.
"""
