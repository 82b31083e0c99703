"""Pixels: reading, writing, colour and resizing of photos. Knows no torch model."""
