"""What is computed at points: the network, its linearization, losses, the kernel, in chunks."""
