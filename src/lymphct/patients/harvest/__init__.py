"""Tumors that a network of the arterial phase draws for others to learn from (Sec. IV-B)."""
