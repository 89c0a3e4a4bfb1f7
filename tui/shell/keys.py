"""Every key, once. The key bar, the help overlay and the key table of smtpd-classic-tui(8) are made from this data.

A key that types a character acts only where no text field has the focus, so each command that is useful in a form has
one that does not. Keys of one command: the first is the one that the key bar shows, the others are its twins.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

__all__ = ["BINDINGS", "CONTEXTS", "EVERYWHERE", "Binding", "binding", "bindings_of", "command_for"]

EVERYWHERE = "everywhere"


class Binding(NamedTuple):
    """`label` is the word of the key bar and of the button, `doc` the manual's sentence."""

    where: str
    command: str
    keys: tuple[str, ...]
    label: str
    doc: str
    in_bar: bool = True


CONTEXTS = {
    EVERYWHERE: "On every screen",
    "dialog": "Dialogs",
    "pager": "Dialogs with a text",
    "settings": "Screens that edit the configuration",
    "applying": "Before Apply",
    "test": "Screens with a test",
    "list": "Lists",
    "undo list": "Lists of the configuration",
    "order": "Lists in an order that counts",
    "queue": "Queue",
    "message": "One queued message",
    "log": "Log",
    "suspects": "Suspects",
    "blocked": "Blocked addresses",
    "accounts": "Accounts",
    "undoable": "Accounts and aliases",
    "versions": "File Versions",
    "hosts": "Hosts",
    "connections": "Connections",
    "doctor": "Doctor",
    "signing": "Signing & DNS",
    "explain": "Explain",
    "status": "Status",
    "running": "Status while the server runs",
    "down": "Status while the server is down",
}

BINDINGS = (
    Binding(
        EVERYWHERE, "help", ("f1", "ctrl g", "meta h", "?"), "Help", "Show help and every key; Enter runs the command."
    ),
    Binding(
        EVERYWHERE,
        "menu",
        ("f9", "ctrl o", "meta m"),
        "Menu",
        "Go to the list of screens.",
    ),
    Binding(
        EVERYWHERE,
        "find",
        ("f7", "ctrl p", "ctrl f", "meta f"),
        "Find",
        "Find an option, a screen or an action by any word of its name or help, and go to it.",
        in_bar=False,
    ),
    Binding(
        EVERYWHERE,
        "refresh",
        ("f5", "ctrl t", "meta t"),
        "Refresh",
        "Read the contents of the screen again.",
        in_bar=False,
    ),
    Binding(
        EVERYWHERE,
        "next screen",
        ("ctrl page down", "meta n"),
        "Next",
        "Go to the next screen.",
        in_bar=False,
    ),
    Binding(
        EVERYWHERE,
        "previous screen",
        ("ctrl page up", "meta p"),
        "Previous",
        "Go to the previous screen.",
        in_bar=False,
    ),
    Binding(
        EVERYWHERE, "help down", ("meta down", "meta ."), "Help down", "Scroll the help at the bottom.", in_bar=False
    ),
    Binding(EVERYWHERE, "help up", ("meta up", "meta ,"), "Help up", "Scroll the help back.", in_bar=False),
    Binding(EVERYWHERE, "back", ("esc",), "Back", "Close a dialog, or leave the screen for the menu.", in_bar=False),
    Binding(
        EVERYWHERE,
        "mouse",
        ("f6", "meta o"),
        "Mouse",
        "Switch the mouse on or off; off, the terminal's own copy and paste work.",
        in_bar=False,
    ),
    Binding(EVERYWHERE, "assistant", ("meta g",), "Assistant", "Make a first configuration.", in_bar=False),
    Binding(EVERYWHERE, "quit", ("f10", "ctrl q", "meta q", "q"), "Quit", "Leave; asks when changes are not applied."),
    Binding(EVERYWHERE, "ask quit", ("ctrl c",), "Quit?", "Ask whether to leave.", in_bar=False),
    Binding(
        "dialog", "accept", ("f2", "ctrl s", "meta a"), "OK", "Press the dialog's OK or Apply button.", in_bar=False
    ),
    Binding("dialog", "back", ("esc",), "Close", "Close the dialog, as its button does; nothing is changed."),
    Binding(
        "settings",
        "apply",
        ("f2", "ctrl s", "meta a"),
        "Apply",
        "Check the changes, show them in words, write the file and reload the server.",
    ),
    Binding("settings", "reset", ("f3", "ctrl r", "meta r"), "Reset", "Return to the values of the last Apply."),
    Binding(
        "settings", "diff", ("f8", "ctrl d", "meta d"), "Diff", "Show the changes that Apply would make in the file."
    ),
    Binding("applying", "diff", ("f8", "ctrl d", "meta d"), "File diff", "Show the changes as a diff of the file."),
    Binding(
        "test",
        "test",
        ("ctrl e", "t", "meta y"),
        "Test",
        "Look the host up, connect, check TLS, log in; send nothing.",
    ),
    Binding("list", "add", ("a", "insert", "meta i"), "Add", "Add an item."),
    Binding("list", "edit", ("e", "f4", "meta e"), "Edit", "Change the item. Enter does the same."),
    Binding("list", "delete", ("d", "delete", "meta x"), "Delete", "Delete the item."),
    Binding(
        "list", "search", ("/",), "Search", "Search as you type; n and N go to the next and previous.", in_bar=False
    ),
    Binding("undo list", "undo", ("u", "meta z"), "Undo", "Take the last edit of the list back.", in_bar=False),
    Binding("order", "up", ("K", "ctrl up", "meta u"), "Up", "Move the item up; the first that matches counts."),
    Binding("order", "down", ("J", "ctrl down", "meta j"), "Down", "Move the item down."),
    Binding("queue", "read", ("v", "f4"), "Read", "Read the message and its last transcript. Enter does the same."),
    Binding("queue", "retry", ("r", "meta r"), "Retry now", "Try to deliver the message, or all tagged ones, at once."),
    Binding("queue", "hold", ("h", "meta l"), "Hold", "Keep the message in the queue until it is released."),
    Binding("queue", "release", ("l", "meta e"), "Release", "End the hold."),
    Binding("queue", "approve", ("A",), "Approve", "Send the message, which waits for approval.", in_bar=False),
    Binding("queue", "refuse", ("R",), "Refuse", "Return the message, which waits for approval.", in_bar=False),
    Binding(
        "queue", "delete", ("d", "delete", "meta x"), "Delete", "Delete the message or all tagged ones; asked first."
    ),
    Binding(
        "queue", "tag", ("t", " ", "insert"), "Tag", "Tag or untag the message; actions then take all tagged ones."
    ),
    Binding(
        "queue",
        "tag pattern",
        ("+", "meta +"),
        "Tag by pattern",
        "Tag or untag the messages with a word or pattern.",
        in_bar=False,
    ),
    Binding("queue", "tag all", ("a", "meta a"), "Tag all", "Tag every message that is shown.", in_bar=False),
    Binding("queue", "untag all", ("u", "meta u"), "Untag", "Take away all tags.", in_bar=False),
    Binding("queue", "search", ("/", "ctrl s"), "Search", "Show only messages that hold a word.", in_bar=False),
    Binding("queue", "sort", ("s", "f3"), "Sort", "Sort by the next column.", in_bar=False),
    Binding("queue", "reverse", ("S",), "Reverse", "Turn the order round.", in_bar=False),
    Binding("queue", "pause", ("-", "p"), "Pause", "Stop or resume refreshing.", in_bar=False),
    Binding("queue", "domains", ("x", "f8"), "By domain", "Show how old the mail for each domain is.", in_bar=False),
    Binding(
        "queue",
        "story",
        ("i", "meta i"),
        "Story",
        "Show all that is known of the message: log, checks, transcript.",
        in_bar=False,
    ),
    Binding(
        "queue", "explain", ("e", "meta c"), "Explain", "Ask for the server's decision about the message.", in_bar=False
    ),
    Binding(
        "queue",
        "copy",
        ("y", "meta y"),
        "Copy",
        "Copy the queue id to the terminal's clipboard (OSC 52).",
        in_bar=False,
    ),
    Binding(
        "message",
        "story",
        ("i", "meta i"),
        "Story",
        "Show all that is known of the message: log, checks, transcript.",
        in_bar=False,
    ),
    Binding(
        "message",
        "explain",
        ("e", "meta c"),
        "Explain",
        "Ask for the server's decision about the message.",
        in_bar=False,
    ),
    Binding(
        "message",
        "copy",
        ("y", "meta y"),
        "Copy",
        "Copy the queue id to the terminal's clipboard (OSC 52).",
        in_bar=False,
    ),
    Binding("message", "retry", ("r", "meta r"), "Retry now", "Try to deliver the message at once."),
    Binding("message", "hold", ("h", "meta l"), "Hold", "Keep the message in the queue until it is released."),
    Binding("message", "release", ("l", "meta e"), "Release", "End the hold."),
    Binding("message", "approve", ("A",), "Approve", "Send the message, which waits for approval.", in_bar=False),
    Binding("message", "refuse", ("R",), "Refuse", "Return the message, which waits for approval.", in_bar=False),
    Binding("message", "delete", ("d", "delete", "meta x"), "Delete", "Delete the message; asked first."),
    Binding("log", "follow", ("F", "f2"), "Follow", "Show new lines as they come."),
    Binding("log", "pause", (" ", "p"), "Pause", "Stop or resume following.", in_bar=False),
    Binding(
        "log", "search", ("/", "ctrl s", "f3"), "Filter", "Show only lines with a queue id, address, IP or other words."
    ),
    Binding(
        "log", "actions", ("f4", "i"), "Actions", "Block, trust or show only an IP of the line. Enter does the same."
    ),
    Binding("log", "suspects", ("x", "f8"), "Suspects", "Addresses with the most failed logins, rejects and messages."),
    Binding(
        "log", "period", ("t",), "Period", "Show only lines of the last hours or days, or of one day.", in_bar=False
    ),
    Binding(
        "log",
        "next match",
        ("n",),
        "Find next",
        "Go to the next earlier line with the words of the filter or of Find.",
        in_bar=False,
    ),
    Binding("log", "previous match", ("N",), "Find back", "Go to the next later line with these words.", in_bar=False),
    Binding(
        "log", "copy", ("y", "meta y"), "Copy", "Copy the line to the terminal's clipboard (OSC 52).", in_bar=False
    ),
    Binding("pager", "search", ("/",), "Search", "Search as you type; Enter ends.", in_bar=False),
    Binding(
        "pager", "next match", ("n", "N"), "Next", "Go to the next place with the words; N goes back.", in_bar=False
    ),
    Binding("suspects", "period", ("t",), "Period", "Count the last hour, 6 hours, 24 hours or 7 days."),
    Binding("suspects", "block", ("b", "f4"), "Block", "Refuse the address for the time set in Access Control."),
    Binding("suspects", "filter", ("l", "f3"), "Lines", "Show the address in the log."),
    Binding("blocked", "unblock", ("b", "f4"), "Unblock", "Let the address connect again."),
    Binding("accounts", "password", ("p", "f8"), "Password", "Set another password."),
    Binding(
        "undoable", "undo", ("u", "f3"), "Undo", "Take the last change back, after a question; once more repeats it."
    ),
    Binding("versions", "restore", ("r", "f2"), "Restore", "Make this version the configuration again; checked first."),
    Binding(
        "versions", "undo", ("u", "f3"), "Undo", "Take the last change of any of the files back; it is shown first."
    ),
    Binding("status", "trial", ("t", "f3"), "Test message", "Send a message through the server and see it arrive."),
    Binding("running", "reload", ("r", "f2", "ctrl r"), "Reload", "Tell the server to read its files again."),
    Binding("down", "start", ("s", "f4"), "Start", "Start the server."),
    Binding("hosts", "try now", ("r", "f2"), "Try now", "Try the messages for this next hop at once."),
    Binding("hosts", "test", ("t", "f3"), "Test", "Test the way to this host without sending a message."),
    Binding("hosts", "messages", ("v", "f4"), "Queue", "Show the messages that wait. Enter does the same."),
    Binding("hosts", "try all", ("a", "f8"), "Try all", "Try all mail that waits at once.", in_bar=False),
    Binding(
        "connections", "lines", ("l", "f3"), "Lines", "Show the client or message in the log. Enter does the same."
    ),
    Binding("connections", "block", ("b", "f4"), "Block", "Refuse the address for the time set in Access Control."),
    Binding("doctor", "examine", ("f2", "x"), "Examine", "Look at the server, its DNS records and its ways out."),
    Binding("doctor", "details", ("f4", "v"), "Details", "Show the advice and the DNS record. Enter does the same."),
    Binding("doctor", "go there", ("f8", "l"), "Go there", "Go to the screen and option that the finding is about."),
    Binding("signing", "make key", ("f4", "meta k"), "Make a key", "Make a DKIM key and show its DNS record."),
    Binding("signing", "records", ("ctrl e", "meta w"), "Records", "Compare the records of all domains with DNS."),
    Binding("signing", "reports", ("meta v",), "Reports", "Show the DMARC reports of other servers by source."),
    Binding("explain", "explain", ("f2", "ctrl s"), "Explain", "Ask for the decision of the server."),
)

_BY_COMMAND = {(each.where, each.command): each for each in BINDINGS}


def binding(where: str, command: str) -> Binding:
    """Return a binding. Raises KeyError if there is none."""
    return _BY_COMMAND[where, command]


def bindings_of(contexts: Iterable[str]) -> Iterator[Binding]:
    """Yield the bindings of these contexts, in their order; those of everywhere come last."""
    for where in (*contexts, EVERYWHERE):
        yield from (each for each in BINDINGS if each.where == where)


def command_for(key: str, contexts: Iterable[str]) -> str | None:
    """Return the command of a key; a context that comes first has precedence."""
    return next((each.command for each in bindings_of(contexts) if key in each.keys), None)
