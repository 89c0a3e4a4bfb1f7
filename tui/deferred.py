"""Modules that other modules import and this program hardly ever uses: they are loaded at the first use of a name."""

import importlib
import importlib.util
import sys
import types
from typing import Any

__all__ = ["defer"]


class _DeferredModule(types.ModuleType):
    """A module without contents; the first use of a name in it loads the real module.

    `functions` are loaded later still, when they are called: `from NAME import FUNCTION` gets a stand-in.
    """

    functions: tuple[str, ...] = ()

    def __getattr__(self, name: str) -> object:
        if name in self.functions:

            def stand_in(*arguments: Any, **options: Any) -> object:
                return getattr(self._loaded(), name)(*arguments, **options)

            return stand_in
        real = self._loaded()
        vars(self).update(vars(real))
        return getattr(real, name)

    def _loaded(self) -> types.ModuleType:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return importlib.import_module(self.__name__)


def defer(name: str, *functions: str) -> None:
    """Load this module later; do nothing if it is loaded already, or if it does not exist."""
    spec = None if name in sys.modules else importlib.util.find_spec(name)
    if spec is not None:
        module = _DeferredModule(name)
        module.__spec__ = spec
        module.functions = functions
        if functions and spec.submodule_search_locations is not None:
            module.__path__ = list(spec.submodule_search_locations)  # “from NAME import” asks for it first
        sys.modules[name] = module
