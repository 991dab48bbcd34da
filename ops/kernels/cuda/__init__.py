"""The kernels for NVIDIA GPUs, compiled at run time by NVRTC."""
