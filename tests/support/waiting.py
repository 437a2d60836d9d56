"""Waiting for what has to come."""

import time


def within(seconds, condition):
    """Give what the condition comes to; it must come to something in so many seconds."""
    until = time.monotonic() + seconds
    while not (come := condition()):
        assert time.monotonic() < until, f"waited in vain for {seconds} s"
        time.sleep(0.01)
    return come
