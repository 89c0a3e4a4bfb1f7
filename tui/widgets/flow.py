"""The type of a widget that takes a width and returns its number of rows; urwid has no short name for it."""

from urwid.widget.widget import AbstractFlowWidget as Flow

__all__ = ["Flow"]
