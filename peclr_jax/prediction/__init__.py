"""Hands in photos and films through an opened network, and what is written of them."""
