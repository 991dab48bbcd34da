"""Windows, OpenGL contexts and the frame loop."""
