"""The built-in dataset of rendered planets."""
