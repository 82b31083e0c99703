"""Ladder variational auto-encoders, ties between their codes, and the joint model."""
