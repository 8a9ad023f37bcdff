"""Losses and log probabilities at the trained positions, and how the model is called for them."""
