"""Synthetic patients with known truth: two-phase abdominal CT from analytic shapes."""
