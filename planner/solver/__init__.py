"""The one road to HiGHS: Pyomo model -> arrays (``matrix``) -> HiGHS (``highs``) -> ``result``.

Nothing here knows what an expert or a GPU is. Import from the modules, so that a caller pays for what it uses.
"""
