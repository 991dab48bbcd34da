"""A training's run folder: start, reports, state files, live control."""
