"""Similarity of pairs (paper sec. 4.1, 6.1): their features and an embedding, to which guidance draws codes."""
