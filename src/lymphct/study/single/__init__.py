"""One split of a cohort, the five stages in their order, one bundle: `lymphct train all` (Sec. IV-A.2)."""
