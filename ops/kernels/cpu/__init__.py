"""The C++ kernels for the CPU: how they are built, loaded, checked and called."""
