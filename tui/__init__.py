"""The terminal UI of smtpd-classic.

The modules are set aside before the first import of urwid: a start consists of imports.
"""

import gc
import os

from tui.deferred import defer, defer_submodule

defer("asyncio")  # a third of urwid's own time; urwid needs it for event loops that are not used here
defer("filelock", "lock_descriptor", "unlock_descriptor")  # the spool's locks: for actions on a message alone
for _name in ("ctypes", "difflib", "secrets", "shutil", "tempfile"):
    defer(_name)
# urwid looks for WSL in this text; Python's own function reads the interpreter's file for it.
defer("platform", platform=lambda: " ".join(os.uname()))
_OF_URWID = {
    "vterm": "TermCanvas TermCharset Terminal TermModes",
    "font": "Font FontRegistry HalfBlock5x4Font HalfBlock6x5Font HalfBlock7x7Font HalfBlockHeavy6x5Font Sextant2x2Font"
    " Sextant3x3Font Thin3x3Font Thin4x3Font Thin5x4Font Thin6x6Font get_all_fonts",
    "widget.ansi_text": "ANSIText",
    "widget.bar_graph": "BarGraph BarGraphError BarGraphMeta GraphVScale scale_bar_values",
    "widget.grid_flow": "GridFlow GridFlowError GridFlowWarning",
    "widget.notifications": "Notification Notifications",
    "widget.overlay_stack": "OverlayStack",
    "widget.spinner": "Spinner",
    "widget.table": "Table TableColumn TableError TableLayout TableRow",
    "widget.tabs": "Tabs TabsError",
    "widget.treetools": "ParentNode TreeListBox TreeNode TreeWalker TreeWidget TreeWidgetError",
}
_AFTER_THE_FIRST_SCREEN = {
    "config.reload": "ReloadAnswer ReloadOutcome reload",
    "config.start": "start_server",
    "shell.help_overlay": "",
    "shell.option_search": "",
    "shell.quit_question": "",
    "status.connections": "RunningDeliveries connected_clients",
    "status.survey": "look",
}
for _package, _modules in (("urwid", _OF_URWID), ("tui", _AFTER_THE_FIRST_SCREEN)):
    for _name, _names in _modules.items():
        defer_submodule(f"{_package}.{_name}", *_names.split())
gc.set_threshold(500_000, 20, 20)  # imports make many objects that live on: to look at them would find nothing
