"""The processes: the start as root, the supervisor, and its children."""
