"""Questions that ask many solves: the certified plan, comparisons, sweeps, sensitivities, token budgets."""
