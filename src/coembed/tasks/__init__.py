"""What is conditioned on, what is generated, and how a field goes back into the photo."""
