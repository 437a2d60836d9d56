"""Do one run: set-up, the loop, the clock, checkpoints."""
