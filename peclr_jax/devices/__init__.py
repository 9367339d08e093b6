"""Devices and the processes that drive them."""
