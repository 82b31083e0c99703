"""Wishes that a latent space can meet: near an example, with a part held, between two draws."""
