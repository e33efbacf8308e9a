"""What runs inside a host's Python: standard library only, nothing of the engine."""
