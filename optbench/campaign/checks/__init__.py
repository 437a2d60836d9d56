"""What is asked of a problem; a check gives issues, a line each, in words."""
