"""The queue and its messages."""
