"""Everything that samples fields for conditions: co-embedding models and baselines, saved and loaded."""
