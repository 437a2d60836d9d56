"""How the solutions that have no formula were computed, a file each: `make references`."""
