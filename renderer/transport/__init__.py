"""Frames from the renderer's process to the window, through shared memory of the CPU or the GPU."""
