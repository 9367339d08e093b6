"""Objectives: the contrastive loss of the paper and its ablations."""
