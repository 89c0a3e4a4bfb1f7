"""The screens of the log, and the suspicious addresses in it."""
