"""Tools of the SMTP Filter: DNS lists (RFC 5782) and patterns. They know no session and no transaction."""
