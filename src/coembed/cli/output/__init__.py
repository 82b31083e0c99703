"""What the verbs write besides the results themselves: folders, pages, contact sheets, progress."""
