"""Images as arrays: resampling, intensities, signed distances, registration (Sec. IV-A.2)."""
