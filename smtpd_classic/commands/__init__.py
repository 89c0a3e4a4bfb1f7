"""The commands of smtpd-classic, one module each: HELP, add_arguments(parser), run(args) -> exit code."""
