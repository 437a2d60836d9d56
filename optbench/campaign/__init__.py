"""Read what is asked for: campaigns, and the runs that they ask for."""
