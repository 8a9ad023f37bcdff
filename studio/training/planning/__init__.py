"""Plans of runs: presets, settings and their reasons, memory and time. No torch."""
