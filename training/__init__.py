"""Training: losses, augmentation, averages, exact state, and the loop that holds them together."""
