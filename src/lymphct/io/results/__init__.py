"""Results on disk: whole or not at all, and known by what they were made from."""
