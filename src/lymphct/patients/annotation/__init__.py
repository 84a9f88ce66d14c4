"""The annotation loop: predictions out to a reader, and corrections back as a cohort."""
