"""The terminal UI of smtpd-classic.

The modules are set aside before the first import of urwid: a start consists of imports.
"""

import gc

from tui.deferred import defer

defer("asyncio")  # a third of urwid's own time; urwid needs it for event loops that are not used here
gc.set_threshold(20_000, 20, 20)  # imports make many objects that live on: looking at them at each 700 finds nothing
