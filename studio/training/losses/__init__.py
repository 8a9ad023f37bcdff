"""Losses and log-probabilities at the trained positions, and the forward functions that compute them."""
