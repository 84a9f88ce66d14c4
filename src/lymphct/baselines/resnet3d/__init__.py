"""ResNet3D-18: a 3-D residual network of a box around the tumor (Sec. IV-E, Tab. VI)."""
