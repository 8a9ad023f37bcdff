"""Several processes for one run: collectives, and parameters that FSDP shards."""
