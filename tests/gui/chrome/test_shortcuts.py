"""Keyboard shortcuts of the commands."""

from __future__ import annotations

from gui.chrome.shortcuts import chord, key_label


def test_every_command_has_keys_that_can_be_pressed():
    from gui.commands import COMMANDS

    chords = [chord(command.keys) for command in COMMANDS if command.keys]
    assert len(set(chords)) == len(chords)
    assert key_label("ctrl+shift+z").endswith("Shift+Z")
    assert key_label("+") == "+"
