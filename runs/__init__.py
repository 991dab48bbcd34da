"""A run as a folder: configuration, status, results, and requests to the running process. No torch."""
