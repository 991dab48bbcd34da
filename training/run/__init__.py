"""A training's run folder: start, reports, states, live control."""
