"""The training loop of a run: loading, callbacks, checkpoints, sample replies, retry after out-of-memory."""
