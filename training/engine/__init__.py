"""Infrastructure of a training step: data loading, random numbers, process group, memory savings, EMA."""
