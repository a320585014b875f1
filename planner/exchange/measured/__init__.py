"""Measured serving rows: from a table or a benchmark's own result to operating points beside what was measured."""
