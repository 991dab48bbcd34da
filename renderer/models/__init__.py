"""Networks that the renderer holds."""
