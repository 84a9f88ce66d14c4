"""Which objects of DICOM hold slices of CT: one in a file, or many (PS3.3 A.3, A.38, A.70)."""

from typing import Final

CT_IMAGE: Final = "1.2.840.10008.5.1.4.1.1.2"
"""One slice."""
ENHANCED: Final = ("1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2")
"""Many frames: Enhanced CT, and Legacy Converted Enhanced CT, which a converter made of single slices."""
