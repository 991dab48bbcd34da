"""What a training step runs on: data loading, random numbers, processes, memory."""
