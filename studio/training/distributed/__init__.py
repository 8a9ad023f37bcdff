"""Training in several processes: collective operations, and parameters that FSDP shards."""
