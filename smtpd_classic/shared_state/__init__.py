"""The state that several servers of one site share, in a Redis or Valkey server. Nothing here is imported without it.

Rule 1: a question waits at most 50 ms. Rule 2: after a failure the caller uses its own numbers, and the log says so
once. No question is sent until a thread of its own has an answer, for which it asks every 2 s. Rule 3: each operation
is one Lua script with the server's own time, so it is atomic, and everything written has a lifetime. Rule 4: no name is
a key in the clear: keys are PREFIX:KIND:HMAC. Rule 5: an error reply to one script, as for a key that holds something
else, is said as it is, and is no failure of the server.
"""

from smtpd_classic.shared_state.client import KeptText, SharedState, SharedStateDown

__all__ = ["KeptText", "SharedState", "SharedStateDown"]
