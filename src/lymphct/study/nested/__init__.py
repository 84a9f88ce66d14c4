"""Nested cross-validation of the whole cascade and of what it is compared with (Sec. IV-A, decision 0048)."""
