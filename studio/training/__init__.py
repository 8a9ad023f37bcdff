"""Training: from settings and rows to a fine-tuned model. Callers pass `emit` and `should_stop`; it uses no
database."""
