"""A message as bytes: its header block, the addresses and phrases in it, and the trace fields."""
