"""The families of PDEs, a file each."""
