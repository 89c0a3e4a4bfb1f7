"""The terminal UI of smtpd-classic.

The modules are set aside before the first import of urwid: a start consists of imports.
"""

import gc
import os

from tui.deferred import defer, defer_module, getattr_static, signature

defer("asyncio")  # a third of urwid's own time; urwid needs it for event loops that are not used here
defer("filelock", "lock_descriptor", "unlock_descriptor")  # the spool's locks: for actions on a message alone
defer("ctypes")
for _name in ("difflib", "hmac", "secrets", "shlex", "shutil", "tempfile", "traceback"):
    defer_module(_name)
# The signature is for the text of a dataclass that has none. No callback of this program is a coroutine.
defer_module("inspect", getattr_static=getattr_static, iscoroutinefunction=lambda _: False, signature=signature)
defer("typing_extensions", deprecated=lambda *_, **__: lambda marked: marked)  # the mark is for type checkers alone
defer_module("gettext", gettext=lambda text: text, ngettext=lambda one, more, number: one if number == 1 else more)
# urwid looks for WSL in this text; Python's own function reads the interpreter's file for it.
defer_module("platform", platform=lambda: " ".join(os.uname()))
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
_OF_WCWIDTH = {  # the functions that urwid calls for each text are compiled
    "_clip": "clip",
    "_constants": "list_term_programs",
    "_wcwidth": "_wcmatch_version _wcversion_value",
    "escape_sequences": "iter_sequences strip_sequences",
    "hyperlink": "Hyperlink HyperlinkParams",
    "text_sizing": "TextSizing TextSizingParams",
    "textwrap": "SequenceTextWrapper wrap",
    "wcwidth": "",
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
for _package, _modules in (("urwid", _OF_URWID), ("wcwidth", _OF_WCWIDTH), ("tui", _AFTER_THE_FIRST_SCREEN)):
    for _name, _names in _modules.items():
        defer_module(f"{_package}.{_name}", *_names.split())
gc.set_threshold(500_000, 20, 20)  # imports make many objects that live on: to look at them would find nothing
