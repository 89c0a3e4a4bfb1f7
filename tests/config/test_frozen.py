"""The fast frozen dataclasses behave as those of `dataclasses`."""

from dataclasses import FrozenInstanceError, asdict, field, fields, replace

import pytest

from smtpd_classic.config.frozen import frozen_dataclass


@frozen_dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    name: str
    secret: str = field(default="geheim", repr=False)
    lines: dict[str, int] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        if self.name.isupper():
            object.__setattr__(self, "name", self.name.lower())


def test_values_and_defaults_are_taken() -> None:
    sample = Sample(name="A")
    assert (sample.name, sample.secret, sample.lines) == ("a", "geheim", {})
    assert sample.lines is not Sample(name="a").lines
    assert replace(sample, secret="other").secret == "other"
    assert asdict(sample) == {"name": "a", "secret": "geheim", "lines": {}}
    assert [each.name for each in fields(Sample)] == ["name", "secret", "lines"]
    assert not hasattr(sample, "__dict__")


def test_equality_and_hash_follow_the_compared_fields() -> None:
    assert Sample(name="a", lines={"x": 1}) == Sample(name="a")
    assert hash(Sample(name="a", lines={"x": 1})) == hash(Sample(name="a"))
    assert Sample(name="a") != Sample(name="b")
    assert Sample(name="a").__eq__("a") is NotImplemented


def test_the_repr_has_no_hidden_field() -> None:
    assert repr(Sample(name="a")) == "Sample(name='a', lines={})"


def test_a_wrong_or_missing_name_is_refused() -> None:
    with pytest.raises(TypeError, match="needs a value of name"):
        Sample()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="has no nmae"):
        Sample(name="a", nmae="b")  # type: ignore[call-arg]


def test_nothing_can_be_changed() -> None:
    sample = Sample(name="a")
    with pytest.raises(FrozenInstanceError):
        sample.name = "b"  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        del sample.name
