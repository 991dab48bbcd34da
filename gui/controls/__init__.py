"""Sliders, rows, buttons and plots of the panels."""
