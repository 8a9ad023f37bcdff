"""This machine: memory, cores, number formats, processes. Does not depend on what is trained."""
