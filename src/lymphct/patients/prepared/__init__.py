"""Prepared patients: made once, kept in a store, read when looked at."""
