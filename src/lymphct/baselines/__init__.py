"""What the cascade is compared with: one file is one way to tell N+ from N- (Sec. IV-E, Tab. VI)."""
