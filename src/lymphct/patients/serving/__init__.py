"""A watched folder: studies that arrive are imported, predicted and exported, each exactly once."""
