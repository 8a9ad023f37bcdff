"""This machine: memory, cores, precision, processes. It must not know what is trained on it."""
