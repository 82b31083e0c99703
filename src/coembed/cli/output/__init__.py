"""Folders, pages, contact sheets and progress of the verbs."""
