"""A run from settings and rows to a tuned model. Given two functions, `emit` and `should_stop`; knows no database."""
