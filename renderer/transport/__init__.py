"""Transport of frames from the renderer's process to the window, in shared CPU or GPU memory."""
