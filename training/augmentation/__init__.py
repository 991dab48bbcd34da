"""Adaptive discriminator augmentation (ADA)."""
