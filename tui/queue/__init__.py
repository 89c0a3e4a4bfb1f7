"""The screens of the queue and its messages."""
