"""Reading, building and writing network files."""
