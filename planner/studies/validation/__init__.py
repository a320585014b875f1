"""How right the serving cost model is on rows it was not fitted to: cleaning, splits, error, bands, regret."""
