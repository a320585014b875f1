"""Small experiments that show what a claim without a number says: seeded, NumPy alone, a few milliseconds each."""
