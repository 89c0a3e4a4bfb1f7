"""The log and the suspects found in it."""
