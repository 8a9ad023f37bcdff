"""Labeling. `labels.Labels` is the service; the other modules are its parts."""
