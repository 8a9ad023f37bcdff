"""Evaluation of runs, and cross-validation."""
