"""The authentication sockets of Dovecot: logins, and look-ups of users."""
