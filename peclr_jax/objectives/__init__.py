"""Objectives: the contrastive losses of pre-training and the losses of poses."""
