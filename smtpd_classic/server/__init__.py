"""What listens: sockets, TLS, the PROXY protocol, and a pooled thread that drives each connection."""
