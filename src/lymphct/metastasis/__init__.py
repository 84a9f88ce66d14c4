"""The LN-metastasis status of a patient from tumour slices and node volume (Sec. III-B)."""
