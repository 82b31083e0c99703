"""One photo in, n photos or n motions out. No files are written here."""
