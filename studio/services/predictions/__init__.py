"""Predictions for many rows."""
