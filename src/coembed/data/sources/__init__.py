"""Where photos, clips and a user's own files come from."""
