"""Controls of the panels: sliders, rows, buttons and plots."""
