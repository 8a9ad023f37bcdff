"""The Runs tab: the table of runs and what can be done with them; tab.py puts them together."""
