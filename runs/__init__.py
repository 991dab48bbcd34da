"""A job as a folder: what it was asked for, what it is doing, what it found, and wishes to it. No torch."""
