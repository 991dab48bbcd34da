"""Settings are kept between starts, and damaged files never stop one."""

from __future__ import annotations

import pytest

from gui import preferences


def test_settings_come_back_as_they_were(tmp_path):
    kept = preferences.Preferences(
        theme="light", recents=("a.pkl", "https://x/y.pkl"), left=-5, layout="[Window]\nPos=1,2\n"
    )
    preferences.save(tmp_path, kept)
    assert preferences.load(tmp_path) == (kept, None, [])


def test_one_wrong_setting_does_not_cost_the_others(tmp_path):
    (tmp_path / preferences.SETTINGS).write_text("theme: light\nscale: 900\nunknown: 3\nrecents: [a.pkl]\n")
    loaded, _session, notes = preferences.load(tmp_path)
    assert loaded == preferences.Preferences(theme="light", recents=("a.pkl",))
    assert notes == []


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"- a list", b"{" * 5000, b"a: &x [*x]", b"\x00"])
def test_damaged_settings_are_set_aside_and_never_lost(tmp_path, content):
    for number in (1, 2):
        (tmp_path / preferences.SETTINGS).write_bytes(content)
        loaded, _session, notes = preferences.load(tmp_path)
        if notes:
            assert loaded == preferences.Preferences()
            assert (tmp_path / f"settings.yaml.damaged-{number}").read_bytes() == content


def test_a_network_opened_again_moves_to_the_head_of_the_recents():
    remembered = preferences.Preferences()
    for path in [*(f"{n}.pkl" for n in range(20)), "15.pkl"]:
        remembered = preferences.add_recent(remembered, path)
    assert remembered.recents[:2] == ("15.pkl", "19.pkl")
    assert len(remembered.recents) == preferences.MAX_RECENTS
