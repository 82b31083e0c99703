"""Low-resolution fields to photo resolution, along the photo's edges (paper section 4.2)."""
