"""Video: frames to a file."""
