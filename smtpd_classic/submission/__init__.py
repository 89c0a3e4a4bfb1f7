"""Local submission: what `sendmail` does with a message until the server has it, and what the server does with those
that were left for it.

Rule 1: what was handed over is at every instant in the queue, in a mailbox or in maildrop/; or the exit status says
that it is not.
Rule 2: nothing here needs the configuration, which ordinary users may not read. The server completes what only it
knows.
Rule 3: cron and PHP start this thousands of times: what is imported costs its users' time. So no dataclasses, no
argparse, no tempfile, until they are needed.
"""
