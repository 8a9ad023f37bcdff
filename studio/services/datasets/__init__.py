"""Datasets: imported, checked, fixed, edited, augmented, compared."""
