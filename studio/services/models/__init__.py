"""Base models and adapters of other tools."""
