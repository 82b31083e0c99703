"""Photos and clips into pairs: resumable, on several processes."""
