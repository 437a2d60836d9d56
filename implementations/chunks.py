"""How many points pass through the network together."""


def size(points: int, most: int) -> int:
    """Points a piece, at most `most` and at least one: a divisor of `points` if one is near.

    Equal pieces spare JAX a second compiled body.
    """
    largest = max(1, most)
    if points <= largest:
        return points
    divisor = next(size for size in range(largest, 0, -1) if points % size == 0)
    return divisor if 2 * divisor >= largest else largest
