"""Plans of runs: presets, settings with their reasons, memory and time. Imports no torch."""
