"""Optical flow: estimated, stored, drawn, animated."""
