"""What people are shown, on the command line and on the screens: the log, the queue, a decision explained."""
