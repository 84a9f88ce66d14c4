"""Who teaches what: splits, trainings, evidence out of fold."""
