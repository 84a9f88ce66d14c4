"""Images in and out: CT, masks, label maps; NIfTI and DICOM."""
