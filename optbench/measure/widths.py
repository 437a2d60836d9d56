"""Networks of growing width, with their layers in the proportions of `tanh_64_64_48_48`."""

WIDTHS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096)


def network(width: int) -> str:
    """The network whose first layers have that width."""
    narrow = 3 * width // 4
    return f"tanh_{width}_{width}_{narrow}_{narrow}"
