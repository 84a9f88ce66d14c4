"""A public data set, or one of your own layout, as a cohort: `lymphct import`."""
