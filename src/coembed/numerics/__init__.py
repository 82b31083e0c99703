"""Distributions, random streams, linear algebra and scores that know no photo, no model and no file."""
