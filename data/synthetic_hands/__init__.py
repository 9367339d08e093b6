"""Procedurally rendered hands with exact labels."""
