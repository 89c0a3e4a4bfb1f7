"""Screens that edit the configuration file, and its way from the draft to the running server."""
