"""The command `lymphct`."""
