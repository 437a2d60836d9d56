"""How many points pass through the network together."""


def chunk_size(points: int, most: int) -> int:
    """Choose the points per chunk: at least one, at most `most`, a near divisor if any.

    Equal chunks spare JAX a second compiled body.
    """
    largest = max(1, most)
    if points <= largest:
        return points
    divisor = next(size for size in range(largest, 0, -1) if points % size == 0)
    return divisor if 2 * divisor >= largest else largest
