"""A study as a graph of tasks on disk, and who runs them; nothing here knows what a task does."""
