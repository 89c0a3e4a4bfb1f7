"""The terminal UI of smtpd-classic.

The modules are set aside before the first import of urwid: a start consists of imports.
"""

import gc

from tui.deferred import defer

defer("asyncio")  # a third of urwid's own time; urwid needs it for event loops that are not used here
defer("filelock", "lock_descriptor", "unlock_descriptor")  # the spool's locks: for actions on a message alone
for _name in ("difflib", "shutil", "tempfile"):
    defer(_name)
gc.set_threshold(500_000, 20, 20)  # imports make many objects that live on: to look at them would find nothing
