"""Files that look like pictures and cannot be read are told with their number; linked folders count as folders do."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from dataset_makers import folder, make, picture, zipped
from PIL import Image

from data import Dataset, DatasetError

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(60)
PHONE: dict[str, bytes | str] = {
    "a.png": picture(seed=1),
    "b.png": picture(seed=2),
    "IMG_0001.HEIC": HEIC,
    "IMG_0002.heic": HEIC + b"2",
    "raw.CR2": b"II*\0" + bytes(60),
    "layers.psd": b"8BPS" + bytes(60),
    "no-ending": picture(seed=3),
    "deep/photo.DNG": b"II*\0" + bytes(60),
    "new.jxl": b"\xff\x0a" + bytes(60),
    "Makefile": "all:\n",
    "notes.txt": "text",
    ".hidden.heic": HEIC,
}


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
def test_pictures_of_kinds_that_cannot_be_read_stand_in_the_table(
    packed: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = zipped(tmp_path / "phone.zip", PHONE) if packed else folder(tmp_path / "phone", PHONE)
    assert make(source, tmp_path / "a.zip") == 0
    out = capsys.readouterr().out
    rows = {line.split("  ")[0]: line for line in out.splitlines() if "left out" in line}
    counts = {kind: int(line.removeprefix(kind).split()[0]) for kind, line in rows.items()}
    assert counts == {"CR2": 1, "DNG": 1, "HEIC": 2, "JPEG XL": 1, "PSD": 1, "no ending": 1}
    assert "2 pictures of 16x16" in out


@pytest.mark.parametrize(
    "files, words",
    [
        ({"IMG_0001.HEIC": HEIC}, "holds only HEIC, which cannot be read: convert them to JPEG or PNG first"),
        ({"a.heif": HEIC, "b.nef": b"MM\0*"}, "holds only HEIC and NEF"),
        ({"one": picture(), "two": picture(seed=1)}, "2 pictures whose names have no ending: add .png or .jpg to one"),
        ({"a.txt": "text", "README": "text"}, "holds no pictures"),
    ],
)
def test_a_folder_of_nothing_else_says_what_to_convert(
    files: dict[str, bytes | str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = folder(tmp_path / "set", files)
    assert make(source, tmp_path / "a.zip") == 2
    assert words in capsys.readouterr().err
    with pytest.raises(DatasetError, match=words):
        Dataset(source)


def test_linked_class_folders_are_followed_and_loops_are_not(tmp_path: Path) -> None:
    folder(tmp_path / "disk", {"cats/0.png": picture(), "cats/1.png": picture(seed=1), "dogs/0.png": picture(seed=2)})
    source = folder(tmp_path / "set", {"birds/0.png": picture(seed=3)})
    for kind in ("cats", "dogs"):
        (source / kind).symlink_to(tmp_path / "disk" / kind)
    (tmp_path / "disk/cats/up").symlink_to(tmp_path / "disk")  # cats -> disk -> cats -> ...
    (tmp_path / "disk/dogs/back").symlink_to(source)
    (source / "birds/here").symlink_to(".")
    (source / "gone").symlink_to(tmp_path / "nowhere")
    dataset = Dataset(source)
    names = [dataset.file(index) for index in range(len(dataset))]
    assert names == ["birds/0.png", "cats/0.png", "cats/1.png", "dogs/0.png"]
    assert make(source, tmp_path / "a.zip", "--labels", "folders") == 0
    assert Dataset(tmp_path / "a.zip", use_labels=True).classes == ("birds", "cats", "dogs")


def test_a_link_to_the_folder_itself_and_links_in_a_ring_end(tmp_path: Path) -> None:
    for one, other in (("a", "b"), ("b", "c"), ("c", "a")):
        folder(tmp_path / one, {f"{one}.png": picture()})
        (tmp_path / one / f"to-{other}").symlink_to(tmp_path / other)
    source = tmp_path / "linked"
    source.symlink_to(tmp_path / "a")
    dataset = Dataset(source)
    assert [dataset.file(i) for i in range(len(dataset))] == ["a.png", "to-b/b.png", "to-b/to-c/c.png"]


@pytest.mark.parametrize("flag", [1, 1 | 1 << 6], ids=["password", "strong"])
def test_an_encrypted_archive_says_so(flag: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = zipped(tmp_path / "secret.zip", {"a.png": picture()})
    with zipfile.ZipFile(path) as archive:
        central = archive.start_dir
    data = bytearray(path.read_bytes())
    data[6] |= flag  # in the file's own header, and in the directory at the end
    data[central + 8] |= flag
    path.write_bytes(data)
    assert make(path, tmp_path / "a.zip") == 2
    assert "encrypted" in capsys.readouterr().err
    with pytest.raises(DatasetError, match="encrypted"):
        Dataset(path)


@pytest.mark.parametrize("orientation", [1, 3, 5, 6, 7, 8])
def test_pictures_turned_by_their_camera_have_one_size_with_those_that_are_not(
    orientation: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = (16, 32) if orientation >= 5 else (32, 16)
    buffer = io.BytesIO()
    Image.open(io.BytesIO(picture(size=stored))).save(buffer, "png", exif=exif)
    source = folder(tmp_path / "set", {"a.png": picture(size=(32, 16), seed=1), "b.png": buffer.getvalue()})
    assert make(source, tmp_path / "a.zip") == 2
    said = capsys.readouterr().err
    assert "Pictures of 32x16" in said and "2 sizes" not in said
