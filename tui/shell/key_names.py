"""The names of keys, as people write them."""

__all__ = ["key_text"]

_NAMES = {
    "ctrl ": "Ctrl-",
    "meta ": "Alt-",
    "shift ": "Shift-",
    "page down": "PgDn",
    "page up": "PgUp",
    "insert": "Ins",
    "delete": "Del",
    "enter": "Enter",
    "esc": "Esc",
    "tab": "Tab",
    "up": "Up",
    "down": "Down",
}


def key_text(key: str) -> str:
    """Return a key as people write it: `Ctrl-S`, `Alt-A`, `F2`, `Space`, `a`."""
    if key == " ":
        return "Space"
    prefix, rest = "", key
    for word in ("ctrl ", "meta ", "shift "):
        if rest.startswith(word):
            prefix, rest = prefix + _NAMES[word], rest[len(word) :]
    if rest in _NAMES:
        rest = _NAMES[rest]
    elif (len(rest) > 1 and rest[0] == "f" and rest[1:].isdigit()) or (prefix and len(rest) == 1):
        rest = rest.upper()
    return prefix + rest
