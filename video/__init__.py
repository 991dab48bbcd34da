"""Films: frames to a video file."""
