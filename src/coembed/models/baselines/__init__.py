"""Simple samplers that any conditional model must beat."""
