"""Runs that are stopped after some steps, and what must be the same bits then."""


class StopAfter:
    """Asks for an end before step `steps` + 1."""

    def __init__(self, steps):
        self.left = steps

    def __call__(self):
        self.left -= 1
        return self.left < 0


def bits(record):
    return [row.model_dump(exclude={"seconds"}) for row in record.history]
