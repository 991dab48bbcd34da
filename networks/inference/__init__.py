"""Fast paths for inference: prepared weights, CUDA graphs, the half-rate preview."""
