"""The listening side: sockets, TLS, the PROXY protocol, and a pooled thread for each connection."""
