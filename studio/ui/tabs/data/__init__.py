"""The Data tab: one module a part of it; tab.py puts them together."""
