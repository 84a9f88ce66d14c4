"""The stages in the paper's order: one patient, the training, a cohort (Fig. 2)."""
