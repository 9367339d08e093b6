"""Every picture and page that we draw."""
