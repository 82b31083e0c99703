"""Sources of photos, clips and a user's own files."""
