"""The process that trains one run: reads its spec and writes events. Started by module name, never imported by
services."""
