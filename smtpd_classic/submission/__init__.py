"""Local submission: `sendmail` hands messages to the server, and the server fetches those that were left for it.

Rule 1: a submitted message is at every instant in the queue, in a mailbox or in maildrop/; or the exit status says
that it is not.
Rule 2: nothing here needs the configuration, which ordinary users may not read. The server adds the rest.
Rule 3: cron and PHP start this thousands of times: every import costs time. So no dataclasses, no
argparse, no tempfile, until they are needed.
"""
