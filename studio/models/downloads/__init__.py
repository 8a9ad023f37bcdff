"""Clients of the sources, and downloads with limits, progress and resumption."""
