"""The process that trains one run: spec in, events out. Started by module name, never imported by the services."""
