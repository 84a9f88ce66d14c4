"""A cohort as a raw data set of nnU-Net."""
