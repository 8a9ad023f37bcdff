"""Runs: started, stopped, resumed, rerun, searched, compared, archived."""
