"""Modules that other modules import and this program hardly ever uses: they are loaded at the first use of a name."""

import importlib
import importlib.util
import sys
import types
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from typing import Any

__all__ = ["defer", "defer_module", "getattr_static", "signature"]


class _DeferredModule(types.ModuleType):
    """A module without contents; the first use of a name in it loads the real module.

    The functions and classes in `names` are loaded later still: `from MODULE import NAME` gets a stand-in.
    """

    names: tuple[str, ...] = ()

    def __getattr__(self, name: str) -> object:
        if name in self.names:
            return _StandIn(self, name)
        if name == "__path__" and self.__spec__ is not None and self.__spec__.submodule_search_locations is None:
            raise AttributeError(name)  # “from MODULE import NAME” asks for it first
        real = _loaded(self)
        vars(self).update(vars(real))
        return getattr(real, name)


def _loaded(deferred: _DeferredModule) -> types.ModuleType:
    """Return the real module. It takes the place of the deferred one."""
    if sys.modules.get(deferred.__name__) is deferred:
        del sys.modules[deferred.__name__]
    return importlib.import_module(deferred.__name__)


class _StandIn:
    """A function or class of a deferred module; a call, a subclass, a check or an attribute reaches the real one."""

    def __init__(self, module: _DeferredModule, name: str) -> None:
        self._module = module
        self._name = name

    def _real(self) -> Any:
        return getattr(_loaded(self._module), self._name)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self._real()(*arguments, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real(), name)

    def __getitem__(self, item: Any) -> Any:
        return self._real()[item]

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[Any, ...]:
        return (self._real(),)

    def __instancecheck__(self, instance: Any) -> bool:
        return isinstance(instance, self._real())

    def __subclasscheck__(self, subclass: Any) -> bool:
        return issubclass(subclass, self._real())


def defer(name: str, *names: str, **values: object) -> None:
    """Load this module later; do nothing if it is loaded already, or if it does not exist.

    `names` are functions and classes that are imported by name, `values` are names whose use loads nothing.
    """
    spec = None if name in sys.modules else importlib.util.find_spec(name)
    if spec is not None:
        _put(spec, names, values)


def defer_module(name: str, *names: str, **values: object) -> None:
    """Do the same for a module that exists and is no package, without a search for its file."""
    if name not in sys.modules:
        _put(ModuleSpec(name, None), names, values)


def _put(spec: ModuleSpec, names: tuple[str, ...], values: dict[str, object]) -> None:
    module = _DeferredModule(spec.name)
    module.__spec__ = spec
    module.names = names
    if names and spec.submodule_search_locations is not None:
        module.__path__ = list(spec.submodule_search_locations)  # or else a use of `names` would load it
    vars(module).update(values)
    sys.modules[spec.name] = module


def getattr_static(owner: type, name: str) -> object:
    """Do the work of this function of `inspect` for a class. Raises AttributeError."""
    for base in owner.__mro__:
        if name in vars(base):
            return vars(base)[name]
    raise AttributeError(name)


def signature(of: Callable[..., Any]) -> object:
    """Do the work of this function of `inspect`, except for a class: it gives a blank, and nothing is loaded."""
    if isinstance(of, type):
        return ""
    module = sys.modules["inspect"]
    return (_loaded(module) if isinstance(module, _DeferredModule) else module).signature(of)
