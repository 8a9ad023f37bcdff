"""The API server: its process, models, keys, and code that calls it."""
