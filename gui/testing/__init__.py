"""Drives the interface with mouse and key events, for tests and the demo."""
