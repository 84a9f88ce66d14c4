"""The digest of an image's values, by which a CT is known whatever file holds it."""

import hashlib

import numpy as np

from lymphct.core.orientation import to_working_axes
from lymphct.core.volume import Volume


def image_digest(ct: Volume) -> str:
    """Return the digest of a CT's values, whatever file and whatever axis order holds them."""
    image = to_working_axes(ct)
    digest = hashlib.sha256(f"{image.array.shape} int16\n".encode())
    for slab in image.array:
        digest.update(np.rint(slab).astype("<i2").tobytes())
    return digest.hexdigest()
