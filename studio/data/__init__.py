"""Datasets: reading files, matching columns to roles, checking rows, and splitting them.

This package depends on no task and no model.
"""
