"""Evaluation of the base and the fine-tuned model on the same rows: metrics, intervals, a verdict, example rows."""
