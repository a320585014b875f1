"""Scalar cost primitives, and the tables that programs read: seconds, bytes, dollars in SI units."""
