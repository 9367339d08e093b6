"""Files that strangers wrote, read within bounds of size, depth and count."""
