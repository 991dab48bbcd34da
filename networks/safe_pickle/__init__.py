"""A pickle reader that knows plain data and runs nothing."""
