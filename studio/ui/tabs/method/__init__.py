"""The Method tab: settings, plan, prompts and search; tab.py puts them together."""
