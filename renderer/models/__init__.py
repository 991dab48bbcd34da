"""The renderer's networks: loading, caching, describing."""
