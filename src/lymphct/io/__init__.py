"""The door for files: images, cohorts, results, models."""
