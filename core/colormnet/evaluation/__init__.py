"""Measuring colorization: the paper's protocol, baselines, metrics and reports."""
