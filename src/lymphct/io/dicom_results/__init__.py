"""A finished result as DICOM objects on the frames of the CT it was made from."""
