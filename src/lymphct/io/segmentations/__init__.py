"""Segmentations that people correct: the files of 3D Slicer, and DICOM SEG."""
