"""The built-in data set of drawn planets."""
