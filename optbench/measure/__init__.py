"""Time one step, and say all that can be said of it."""
