"""Predictions of patients, in folders or in memory."""
