import sys

from smtpd_classic.cli import main

if __name__ == "__main__":
    sys.exit(main())
