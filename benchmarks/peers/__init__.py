"""What a user would pick instead of CoEmbed. With ``benchmarks/`` on the path: ``import peers.peer``."""
