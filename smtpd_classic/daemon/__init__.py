"""The processes: what is done as root before it is given up, the supervisor, and the lives of its children."""
