"""From rows to batches: tokens and their cache, the order of rows, packing, collators."""
