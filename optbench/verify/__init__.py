"""Check a folder of results as a stranger would."""
