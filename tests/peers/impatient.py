"""Our server with the time-outs of RFC 5321 4.5.3.2, which are no options, cut from minutes to two seconds.

It takes the place of `python -m smtpd_classic` in the command that follows it.
"""

import sys

from smtpd_classic.cli import main
from smtpd_classic.client.network import Timeouts

if __name__ == "__main__":
    Timeouts.__new__.__defaults__ = (2.0,) * len(Timeouts._fields)
    sys.exit(main(sys.argv[4:]))
