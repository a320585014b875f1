"""The judge: prices and checks any plan from the instance and the scalar cost primitives alone."""
