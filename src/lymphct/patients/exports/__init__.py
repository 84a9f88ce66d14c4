"""A cohort out of what a PACS exports: files sorted into series, series into phases, phases into patients."""
