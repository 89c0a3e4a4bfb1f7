"""Every dialogue in session/, against the session alone, in every cut."""

from pathlib import Path

import pytest

from tests.dialogs.runner import Cut, Dialogue, dialogues, parse, play
from tests.dialogs.scene import Scene

CASES = [
    pytest.param(dialogue, cut, id=f"{dialogue.name}, {cut.value}")
    for dialogue in dialogues(Path(__file__).parent / "session")
    for cut in dialogue.cuts
]


@pytest.mark.parametrize(("dialogue", "cut"), CASES)
def test_dialogue(dialogue: Dialogue, cut: Cut) -> None:
    scene = Scene(dialogue)
    play(dialogue, scene, cut)
    scene.finish()


@pytest.mark.parametrize("dialogue", dialogues(Path(__file__).parent / "session"), ids=lambda dialogue: dialogue.name)
def test_every_cut_asks_the_same(dialogue: Dialogue) -> None:
    asked = []
    for cut in dialogue.cuts:
        scene = Scene(dialogue)
        play(dialogue, scene, cut)
        asked.append((scene.events, scene.contents))
    assert all(each == asked[0] for each in asked)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("S: 220\nC: NOOP\nS: 221", "instead of “221”"),
        ("S: 220\nC: NOOP\nS: 250 2.0.0 Something else...", "instead of “250 2.0.0 Something else...”"),
        ("S: 220\nC: EHLO me\nS: 250 foo.com", "instead of “250 foo.com”"),
        ("S: 220\nC: NOOP\nS: 250\nS: 250", "says nothing"),
        ("S: 220\nC: NOOP\nS: 250\nX: ", "says nothing"),
        ("S: 220\nC: NOOP\nX: ", "the connection is open"),
        ("S: 220\nC: QUIT\nS: 221\nS: 221", "closed"),
        ("S: 220\nC: NOOP", "at the end"),
        ("S: 220\nA: NO_SUCH_USER", "could answer"),
        ("S: 220\nT: ", "not answered"),
    ],
)
def test_a_wrong_dialogue_fails(text: str, complaint: str) -> None:
    dialogue = parse(text, "wrong")
    scene = Scene(dialogue)
    with pytest.raises((AssertionError, RuntimeError), match=complaint):
        play_to_the_end(dialogue, scene)


def play_to_the_end(dialogue: Dialogue, scene: Scene) -> None:
    play(dialogue, scene)
    scene.finish()


@pytest.mark.parametrize("text", ["", "# only a comment", "hello", "S: 220\n% late setting"])
def test_a_file_that_is_no_dialogue_fails(text: str) -> None:
    with pytest.raises(AssertionError):
        parse(text, "none")
