"""WHAT is measured: campaigns (TOML) and asv classes."""
