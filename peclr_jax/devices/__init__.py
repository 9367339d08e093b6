"""Devices and the processes that drive them, apart from what they compute."""
