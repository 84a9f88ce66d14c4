"""A cohort on disk: read, checked, prepared, predicted, one patient after the other."""
