"""Worlds whose conditional distribution is known."""
