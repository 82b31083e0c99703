"""Scores of samples of an ambiguous field: the paper's metrics and proper scores."""
