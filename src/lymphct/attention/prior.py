"""What makes the attention map: bands, or what a training fitted in their place."""

from collections.abc import Hashable

from lymphct.attention.atlas import Atlas
from lymphct.attention.bands import Bands
from lymphct.attention.trapezia import Trapezia

FittedPrior = Atlas | Trapezia
"""What training patients teach in the place of the bands (decisions 0057, 0062)."""
Prior = Bands | FittedPrior
"""What is known of where lymph nodes lie before an image is looked at."""


def prior_key(prior: Prior) -> Hashable:
    """Return what is equal for equal priors."""
    if isinstance(prior, FittedPrior):
        return type(prior).__name__, prior.model_dump_json()
    return tuple(prior.items())
