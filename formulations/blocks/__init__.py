"""Blocks: one sentence of a model each."""
