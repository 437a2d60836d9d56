"""Do many runs: locally or on a cluster, none twice."""
