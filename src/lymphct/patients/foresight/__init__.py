"""What stands in the way of a command, what it will do and what it needs, before any work."""
