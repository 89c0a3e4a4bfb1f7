"""The type of a widget that takes a width and says how many rows it needs; urwid has no short name for it."""

from urwid.widget.widget import AbstractFlowWidget as Flow

__all__ = ["Flow"]
