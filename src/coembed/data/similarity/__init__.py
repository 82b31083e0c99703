"""Embedding guidance (paper sec. 4.1): what makes two photos similar, and codes that heed it in training."""
