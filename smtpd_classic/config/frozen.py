"""Frozen dataclasses that are made fast: a start of any program makes two dozen of them, some with thirty fields.

`dataclasses` compiles six functions for each class, which took most of the time to import the configuration. The
classes here share one of each, that walks the fields.
"""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

__all__ = ["frozen_dataclass"]

T = TypeVar("T")

if TYPE_CHECKING:
    from dataclasses import dataclass as frozen_dataclass
else:

    def frozen_dataclass(*, frozen: bool, slots: bool, kw_only: bool) -> Callable[[type[T]], type[T]]:
        """Return the decorator of such a class. It takes the arguments of `dataclass`, as type checkers expect them."""

        def made(cls: type[T]) -> type[T]:
            for each in (_init, _repr, _eq, _hash):
                setattr(cls, f"_{each.__name__}__", each)
            cls = dataclasses.dataclass(init=False, repr=False, eq=False, slots=slots, kw_only=kw_only)(cls)
            if frozen:
                cls.__setattr__ = _refuse
                cls.__delattr__ = _refuse
            return cls

        return made


def _init(self: Any, **values: Any) -> None:
    given = len(values)
    for name, each in self.__dataclass_fields__.items():
        if name in values:
            value, given = values[name], given - 1
        elif each.default is not dataclasses.MISSING:
            value = each.default
        elif each.default_factory is not dataclasses.MISSING:
            value = each.default_factory()
        else:
            raise TypeError(f"{type(self).__name__} needs a value of {name}")
        object.__setattr__(self, name, value)
    if given:
        raise TypeError(f"{type(self).__name__} has no {', '.join(values.keys() - self.__dataclass_fields__.keys())}")
    if hasattr(self, "__post_init__"):
        self.__post_init__()


def _repr(self: Any) -> str:
    shown = (each.name for each in dataclasses.fields(self) if each.repr)
    return f"{type(self).__qualname__}({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"


def _compared(self: Any) -> tuple[Any, ...]:
    return tuple(getattr(self, each.name) for each in dataclasses.fields(self) if each.compare)


def _eq(self: Any, other: object) -> bool:
    return _compared(self) == _compared(other) if type(self) is type(other) else NotImplemented


def _hash(self: Any) -> int:
    return hash(_compared(self))


def _refuse(self: Any, name: str, value: object = None) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot change {name}")
