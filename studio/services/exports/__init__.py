"""Exports of runs, and their uploads to the Hub."""
