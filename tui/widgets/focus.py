"""Find the innermost widget that has the focus."""

from typing import Any

import urwid

__all__ = ["leaf_of"]


def leaf_of(widget: urwid.AbstractWidget) -> urwid.AbstractWidget:
    """Return the innermost widget in focus: descend through containers, decorations and wraps."""
    found: Any = widget
    while True:
        if isinstance(found, (urwid.Edit, urwid.DropDown)):
            break  # a DropDown is a decoration too, so that `base_widget` would pass it
        if isinstance(found, urwid.WidgetDecoration):
            found = found.original_widget
            continue
        below = found.focus
        if below is None:
            below = getattr(found, "_w", None)
        if below is None:
            break
        found = below
    leaf: urwid.AbstractWidget = found
    return leaf
