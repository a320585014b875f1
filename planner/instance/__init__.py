"""What a planning instance is made of: hardware, model, workload, prices and limits, and how they are read."""
