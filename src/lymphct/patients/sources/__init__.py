"""Masks by the name of who gives them, merged in an order of trust, also to learn from."""
