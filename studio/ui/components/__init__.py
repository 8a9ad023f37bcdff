"""Pieces of HTML that several tabs use; each is a function from facts to escaped HTML."""
