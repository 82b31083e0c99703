"""Pairs of (condition, field): their sources, their preparation, their store, what makes them similar."""
