"""Albedo and shading of a photo."""
