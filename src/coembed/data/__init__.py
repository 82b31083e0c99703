"""Where pairs come from: data sets, folders and a user's own files."""
