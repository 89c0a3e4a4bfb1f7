"""The state of the server, and Explain."""
