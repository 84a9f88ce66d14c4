"""Where lymph nodes can be: distance bands around structures become an attention map (Eq. 1, Eq. 2)."""
