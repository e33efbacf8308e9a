"""What the paper calls ColorMNet: modules without state across frames."""
