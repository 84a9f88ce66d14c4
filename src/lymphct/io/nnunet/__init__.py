"""nnU-Net's results folders: plans, description of the data set, checkpoints; read without trusting them."""
