"""Images that are odd, as people's are: what is odd is told in one table and treated as asked."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from dataset_makers import contents, folder, make, picture, zipped
from PIL import Image, ImageOps

from data import Dataset, DatasetError

ROOT = Path(__file__).resolve().parent.parent.parent


def odd_pictures(path: Path) -> Path:
    good = picture(size=(32, 32))
    turned = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(io.BytesIO(picture(size=(32, 32), seed=7))).save(turned, "png", exif=exif)
    return folder(
        path,
        {
            "a_good.png": good,
            "b_alpha.png": picture("RGBA", (32, 32), 1),
            "c_deep.png": picture("I;16", (32, 32), 2),
            "d_cmyk.tif": picture("CMYK", (32, 32), 3, "tiff"),
            "e_palette.png": picture("P", (32, 32), 4),
            "f_grey.png": picture("L", (32, 32), 5),
            "g_small.png": picture(size=(12, 12), seed=6),
            "h_twin.png": good,
            "i_cut.png": good[:-300],
            "j_text.png": b"this is no picture",
            "k_turned.png": turned.getvalue(),
            "l_good.jpg": picture(size=(32, 32), seed=8, kind="jpeg"),
        },
    )


def test_odd_images_are_told_in_one_table_and_mended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = odd_pictures(tmp_path / "source")
    assert make(source, tmp_path / "a.zip", "--resolution", "16x16") == 0
    out = capsys.readouterr().out
    for words in (
        "transparency b_alpha.png",
        "16-bit c_deep.png",
        "CMYK d_cmyk.tif",
        "palette e_palette.png",
        "grey among colour f_grey.png",
        "too small g_small.png (12x12)",
        "duplicate h_twin.png (as a_good.png)",
        "cannot be read i_cut.png (cut off) j_text.png (no picture) left out",
        "turned upright k_turned.png",
    ):
        kind, *rest = words.split(" ")
        line = next(line for line in out.splitlines() if line.startswith(kind))
        assert all(part in line for part in rest), line
    assert "10 pictures of 16x16, RGB" in out
    assert len(Dataset(tmp_path / "a.zip")) == 10


def exif(*entries: tuple[int, int, int]) -> bytes:
    """EXIF of (tag, type, value), as a camera may write it."""
    packed = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in sorted(entries))
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, len(entries)) + packed + bytes(4)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_turned_upright_as_other_programs_do(orientation: int, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.open(io.BytesIO(picture(size=(16, 16)))).save(buffer, "png", exif=exif((0x0112, 3, orientation)))
    assert make(folder(tmp_path / "source", {"a.png": buffer.getvalue()}), tmp_path / "a.zip") == 0
    expected = np.asarray(ImageOps.exif_transpose(Image.open(buffer)))
    assert (Dataset(tmp_path / "a.zip").image(0) == expected.transpose(2, 0, 1)).all()


@pytest.mark.parametrize(
    "odd",
    [(296, 4, 70000), (271, 5, 0), (0x8769, 4, 99999), (282, 2, 5)],
    ids=["unit", "maker", "pointer", "density"],
)
def test_odd_exif_costs_no_image(odd: tuple[int, int, int], tmp_path: Path, capsys) -> None:
    """Cameras and phones write EXIF that cannot be written again; only how the camera was held matters."""
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), "red").save(buffer, "jpeg", exif=exif((0x0112, 3, 6), odd))
    source = folder(tmp_path / "source", {"a.jpg": buffer.getvalue(), "b.png": picture()})
    assert make(source, tmp_path / "a.zip") == 0
    assert len(Dataset(tmp_path / "a.zip")) == 2
    assert "turned upright" in capsys.readouterr().out


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no names that are no text")
def test_names_that_the_terminal_has_no_letters_for_are_told_all_the_same(tmp_path: Path) -> None:
    source = folder(
        tmp_path / "source", {"a.png": picture(), "gr\u00f6\u00dfe.png": picture("L"), "caf\udce9.png": picture("L")}
    )
    command = [sys.executable, "visualizer.py", "dataset", "--source", source, "--dest", tmp_path / "a.zip"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "gr\\xf6\\xdfe.png" in done.stdout and "caf\\udce9.png" in done.stdout


def test_odd_images_are_left_out_if_asked(tmp_path: Path) -> None:
    source = odd_pictures(tmp_path / "source")
    assert make(source, tmp_path / "a.zip", "--resolution", "16x16", "--on-problem", "skip") == 0
    assert len(Dataset(tmp_path / "a.zip")) == 3  # a, k (turned) and l


def test_odd_images_are_refused_if_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = odd_pictures(tmp_path / "source")
    assert make(source, tmp_path / "a.zip", "--resolution", "16x16", "--on-problem", "refuse") == 2
    said = capsys.readouterr()
    assert "Nothing was written" in said.err and "refused" in said.out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source"]


def test_gray_images_alone_stay_gray(tmp_path: Path) -> None:
    source = folder(tmp_path / "source", {f"{index}.png": picture("L", seed=index) for index in range(3)})
    assert make(source, tmp_path / "a.zip") == 0
    assert Dataset(tmp_path / "a.zip").image_shape == (1, 16, 16)


def test_a_missing_label_leaves_all_labels_out_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {"a.png": picture(), "b.png": picture(seed=1), "dataset.json": '{"labels": [["a.png", 1]]}'}
    assert make(folder(tmp_path / "source", files), tmp_path / "a.zip") == 0
    assert contents(tmp_path / "a.zip")["dataset.json"] == b'{"labels": null}'
    assert "no label" in capsys.readouterr().out


def test_too_small_images_are_never_letterboxed(tmp_path: Path) -> None:
    files = {"a.png": picture(size=(64, 48)), "b.png": picture(size=(20, 48))}
    arguments = ["--transform", "center-crop-wide", "--resolution", "32x16"]
    assert make(folder(tmp_path / "source", files), tmp_path / "a.zip", *arguments) == 0
    dataset = Dataset(tmp_path / "a.zip")
    assert len(dataset) == 1
    assert not dataset.image(0)[:, :8].any() and not dataset.image(0)[:, 24:].any()


STRANGE = "a\n\x1b[2Jb.png"  # clears a terminal that it is printed to


def test_strange_names_cannot_break_a_line_or_reach_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = zipped(tmp_path / "source.zip", {STRANGE: b"no picture", "b.png": picture()})
    assert make(source, tmp_path / "a.zip", "--resolution", "16x16") == 0
    assert "a\\n\\x1b[2Jb.png" in capsys.readouterr().out
    broken = zipped(tmp_path / "broken.zip", {STRANGE: b"no picture"})
    assert make(broken, tmp_path / "b.zip", "--resolution", "16x16") == 2
    said = capsys.readouterr().err
    assert "a\\n\\x1b[2Jb.png" in said and said.count("\n") == 1 and "\x1b" not in said


def test_a_sentence_about_a_strangely_named_folder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"a\\nb does not exist"):
        Dataset(tmp_path / "a\nb")
