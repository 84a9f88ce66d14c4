"""The annotation loop: predictions out to a reader, most uncertain first, and corrections back as a cohort."""
