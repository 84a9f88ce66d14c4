"""What all networks share: U-Net, losses, patches, augmentation, one training loop, sliding windows."""
