"""Experiments: arms to train and evaluate, results, and pages of results."""
