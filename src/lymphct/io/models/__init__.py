"""Trained networks on disk: bundles, weights, checkpoints."""
