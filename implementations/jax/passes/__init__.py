"""Passes through the network at points: losses, linearizations, the kernel, in chunks."""
