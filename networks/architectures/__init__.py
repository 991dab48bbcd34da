"""The networks of the papers as torch modules."""
