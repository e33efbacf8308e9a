"""MFP: the state across frames (paper section 3.2)."""
