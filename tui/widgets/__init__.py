"""Widgets and text functions that do not depend on mail."""
