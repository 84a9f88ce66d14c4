"""Organs, vessels and the tumour (Sec. III-A.1, Sec. IV-B)."""
