"""How good is it: folds, segmentation, detection, classification, statistics (Sec. IV-C to IV-F)."""
