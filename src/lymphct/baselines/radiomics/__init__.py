"""Radiomics: pyradiomics' features of the tumor, LASSO and logistic regression (Sec. IV-E, Tab. VI)."""
