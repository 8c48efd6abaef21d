"""Decisions: what happens to sessions and turns, and when."""
