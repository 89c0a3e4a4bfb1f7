"""Numbers with a lifetime, atomic between threads and processes: the memory of the sending limits.

`store` names the operations, which another implementation may offer too; `file_store` keeps the numbers in a file.
"""

from smtpd_classic.counters.file_store import FileCounterStore
from smtpd_classic.counters.store import Amount, CounterStore, Number, Seen, Taken

__all__ = ["Amount", "CounterStore", "FileCounterStore", "Number", "Seen", "Taken"]
