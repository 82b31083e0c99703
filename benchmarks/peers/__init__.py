"""Peers: models that a user would pick instead. With ``benchmarks/`` on the path: ``import peers.peer``."""
