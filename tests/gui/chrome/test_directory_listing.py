"""The file dialog's listing: order, snapshots, sizes."""

from __future__ import annotations

import pytest

from gui.chrome import directory_listing


def test_the_browser_lists_what_can_be_opened_in_an_order_that_people_expect(tmp_path):
    for name in ("b.pkl", "snapshot-10.pkl", "snapshot-9.pkl", "notes.txt", ".hidden.pkl", "A.SAFETENSORS"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "zoo").mkdir()
    found = [entry.name for entry in directory_listing.list_entries(tmp_path, (".pkl", ".safetensors"))]
    assert found == ["zoo", "A.SAFETENSORS", "b.pkl", "snapshot-9.pkl", "snapshot-10.pkl"]


def test_a_run_folder_is_known_by_its_newest_snapshot(tmp_path):
    assert directory_listing.newest_snapshot(tmp_path) == ""
    (tmp_path / "network-snapshot-000200.pkl").touch()
    (tmp_path / "snapshots").mkdir()
    (tmp_path / "snapshots" / "network-snapshot-001000.safetensors").touch()
    assert directory_listing.newest_snapshot(tmp_path) == "network-snapshot-001000.safetensors"


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (9_949, "9.9 kB"), (12_345_678, "12 MB"), (3e12, "3.0 TB")],
)
def test_sizes_read_as_people_write_them(size, words):
    assert directory_listing.format_size(int(size)) == words
