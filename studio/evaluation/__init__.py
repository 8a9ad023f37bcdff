"""Base and tuned judged on the same rows: metrics with intervals, a verdict, and the rows that tell most."""
