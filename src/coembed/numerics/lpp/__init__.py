"""Locality preserving projections (paper sec. 4.1)."""
