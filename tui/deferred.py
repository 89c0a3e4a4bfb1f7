"""Modules that a library imports and this program hardly ever uses: they are loaded at the first use of a name."""

import importlib
import importlib.util
import sys
import types

__all__ = ["defer"]


class _DeferredModule(types.ModuleType):
    """A module without contents; the first use of a name in it loads the real module."""

    def __getattr__(self, name: str) -> object:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        real = importlib.import_module(self.__name__)
        vars(self).update(vars(real))
        return getattr(real, name)


def defer(name: str) -> None:
    """Load this module later; do nothing if it is loaded already, or if it does not exist."""
    spec = None if name in sys.modules else importlib.util.find_spec(name)
    if spec is not None:
        module = _DeferredModule(name)
        module.__spec__ = spec
        sys.modules[name] = module
