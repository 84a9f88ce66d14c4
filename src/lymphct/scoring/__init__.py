"""Masks of any tool against truth."""
