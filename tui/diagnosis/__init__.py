"""The screens that test the server, its ways out and its DNS records, and show its health."""
