"""A CT series from a folder of DICOM files."""
