"""The photo-shaped model: a mean, factors and noise that a network draws from the condition."""
