"""Sources of images for `prepare`: folders, zips, LMDB, CIFAR-10 and MNIST."""

from __future__ import annotations

import gzip
import pickletools
import re
import struct
import tarfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data import labels as labelling
from data.archive import Archive, exists
from data.errors import DatasetError
from data.label_matching import match_names, refuse_unmatched
from data.labels import Label, Style
from data.unreadable_images import no_images_message, unreadable_images
from session.bounded_read import check_plain

_MAX_UNPACKED_BYTES = 1 << 30


class Source:
    """Images by index, for `prepare`. Can be sent to other processes.

    names: of the images, for reports. labels: of the images, or None. classes: class names, if known. fixed_shape:
    (width, height, channels) if all images have one, so that they need not be probed. styles: family and style of each
    image of a letter, or None. problems: found before converting (name, problems, whether it is used), counted in
    `noun`. reports_duplicates: whether equal images are a problem.
    """

    names: Sequence[str]
    labels: Sequence[Label | None] | None = None
    classes: tuple[str, ...] = ()
    fixed_shape: tuple[int, int, int] | None = None
    styles: Sequence[Style | None] | None = None
    problems: Sequence[tuple[str, Sequence[tuple[str, str]], bool]] = ()
    noun = "pictures"
    reports_duplicates = True

    def payload(self, index: int) -> Any:
        """Return what a worker needs for an image besides the source; called in the main process."""
        return None

    def read(self, index: int, payload: Any) -> bytes | np.ndarray:
        """Return an encoded image, or pixels uint8 [H,W] or [H,W,3]; called in any process."""
        raise NotImplementedError


def open_source(path: Path, labels: str = "auto") -> Source:
    """Open a path as the source that fits its type. labels: auto, folders, json or none. Raises DatasetError."""
    if not exists(path):
        raise DatasetError(f"{path} does not exist: give a folder, a zip, an LMDB, CIFAR-10 or MNIST.")
    if path.is_dir() and (path.name.endswith("_lmdb") or exists(path / "data.mdb")):
        return Lmdb(path)
    if path.name == "cifar-10-python.tar.gz":
        return Cifar(path, labels)
    if re.search(r"-images[-.]idx3-ubyte(\.gz)?$", path.name):
        return Mnist(path, labels)
    if path.is_dir() or path.suffix.lower() == ".zip":
        return ImageFiles(path, labels)
    raise DatasetError(
        f"{path} is none of what can be read: a folder, a .zip, an LMDB folder, cifar-10-python.tar.gz "
        "or train-images-idx3-ubyte.gz."
    )


class ImageFiles(Source):
    """A folder (recursively) or a zip; labels from its dataset.json, or from class folders."""

    def __init__(self, path: Path, labels: str = "auto") -> None:
        self._archive = Archive(path)
        self.names = self._archive.images
        if not self.names:
            raise DatasetError(no_images_message(self._archive))
        problems = [(name, ((kind, ""),), False) for name, kind in unreadable_images(self._archive)]
        document = self._archive.json() if labels in ("auto", "json") else None
        labels_by_name = labelling.parse_labels(document, path)
        if labels == "json" and labels_by_name is None:
            others = self._archive.unused_json()
            where = f", only {others[0]} in one of several folders" if others else ""
            raise DatasetError(f"{path} has no dataset.json with labels{where}: use --labels folders, or none.")
        if labels in ("auto", "json"):
            problems += [(name, (("labels in a lower folder", ""),), True) for name in self._archive.unused_json()]
        if labels_by_name is not None:
            folder = self._archive.json_folder() or ""
            match = match_names(self.names, labels_by_name, path, folder)
            refuse_unmatched(self.names, match, path)
            if labels == "json":
                labelling.align_labels(self.names, match.values, path)
            problems += [(image, ((kind, name),), True) for kind, image, name in match.renamed]
            problems += [(name, (("label without a picture", ""),), True) for name in match.unused]
            self.labels = [match.values.get(name) for name in self.names]
            self.classes = labelling.class_names(document)
            styles = match_names(self.names, labelling.parse_styles(document, path), path, folder).values
            self.styles = [styles.get(name) for name in self.names] if styles else None
        elif labels == "folders" or (labels == "auto" and document is None):
            folders = class_folders(self.names, labels == "folders")
            if labels == "folders" and folders is None:
                raise DatasetError(
                    f"{path} has no class folders: every picture must lie in one, and there must be two."
                )
            if folders is not None:
                self.classes = tuple(sorted(set(folders)))
                number = {name: index for index, name in enumerate(self.classes)}
                self.labels = [number[folder] for folder in folders]
        self.problems = problems

    def read(self, index: int, payload: Any) -> bytes:
        return self._archive.read(self.names[index])

    def head(self, index: int) -> bytes:
        return self._archive.head(self.names[index])


def class_folders(names: Sequence[str], requested: bool = False) -> list[str] | None:
    """Return each image's class folder, the first level at which paths differ; None if some images are in none.

    Numbered folders (00000, 00001, ...: how large datasets are split) are no classes unless `requested`.
    """
    parts = [name.split("/")[:-1] for name in names]
    while all(len(part) > 1 for part in parts) and len({part[0] for part in parts}) == 1:
        parts = [part[1:] for part in parts]
    if not all(parts):
        return None
    folders = [part[0] for part in parts]
    if len(set(folders)) < 2 or (not requested and all(re.fullmatch(r"\d{5}", folder) for folder in folders)):
        return None
    return folders


class Lmdb(Source):
    """An LMDB of encoded images, the format of LSUN; needs the lmdb package."""

    def __init__(self, path: Path) -> None:
        try:
            import lmdb  # type: ignore[import-not-found]
        except ImportError:
            raise DatasetError(f"Reading {path} needs one more package: pip install lmdb.") from None
        try:
            self._open = lmdb.open(str(path), readonly=True, lock=False, create=False)
            with self._open.begin() as transaction, transaction.cursor() as cursor:
                self._keys = list(cursor.iternext(keys=True, values=False))
        except lmdb.Error as error:
            raise DatasetError(f"{path} cannot be read as LMDB ({error}): fetch it again.") from None
        if not self._keys:
            raise DatasetError(f"{path} holds no pictures.")
        self.names = [key.decode("utf-8", "replace") for key in self._keys]

    def payload(self, index: int) -> bytes:
        with self._open.begin() as transaction:
            return bytes(transaction.get(self._keys[index]))

    def read(self, index: int, payload: Any) -> bytes:
        return payload

    def head(self, index: int) -> bytes:
        return self.payload(index)

    def __getstate__(self) -> dict[str, Any]:
        return {"names": self.names}  # workers get payloads


class Arrays(Source):
    """Images in memory, uint8 [N,H,W] or [N,H,W,3]."""

    def __init__(self, images: np.ndarray, labels: Sequence[Label | None] | None, classes: tuple[str, ...]) -> None:
        self._images = images
        self.names = [f"picture {index}" for index in range(len(images))]
        self.labels, self.classes = labels, classes
        self.fixed_shape = (images.shape[2], images.shape[1], images.shape[3] if images.ndim == 4 else 1)

    def payload(self, index: int) -> np.ndarray:
        return self._images[index]

    def read(self, index: int, payload: Any) -> np.ndarray:
        return payload

    def __getstate__(self) -> dict[str, Any]:
        return {"names": (), "fixed_shape": self.fixed_shape}


class Cifar(Arrays):
    """The 50,000 training images of cifar-10-python.tar.gz, in the order of its five batches."""

    def __init__(self, path: Path, labels: str) -> None:
        images: list[np.ndarray] = []
        numbers: list[int] = []
        try:
            with tarfile.open(path, "r:gz") as archive:
                batches = sorted(
                    (
                        member
                        for member in archive
                        if re.search(r"(^|/)data_batch_\d$", member.name) and member.isfile()
                    ),
                    key=lambda member: member.name,
                )
                for member in batches:
                    stream = archive.extractfile(member)
                    if stream is None or member.size > _MAX_UNPACKED_BYTES:
                        raise DatasetError(f"{member.name} in {path} is no batch of CIFAR-10: fetch the file again.")
                    pixels, classes = parse_cifar_batch(stream.read())
                    images.append(pixels)
                    numbers += classes
        except (tarfile.TarError, OSError, EOFError, zlib.error, ValueError) as error:
            if isinstance(error, DatasetError):
                raise
            why = getattr(error, "strerror", None) or error
            raise DatasetError(f"{path} is not CIFAR-10 as it is published ({why}): fetch it again.") from None
        if not images:
            raise DatasetError(f"{path} holds no data_batch files of CIFAR-10: fetch it again.")
        names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
        named = tuple(names) if max(numbers) < len(names) else ()
        keep = labels != "none"
        super().__init__(np.concatenate(images), numbers if keep else None, named if keep else ())


def parse_cifar_batch(data: bytes) -> tuple[np.ndarray, list[int]]:
    """Parse a batch file: pixels uint8 [N,32,32,3] and labels.

    A batch is a pickle. It is not executed: its opcodes are only listed, and the one long string (the pixels) and the
    integers after the string "labels" are taken. Raises ValueError if they are missing.
    """
    pixels: bytes | None = None
    labels: list[int] = []
    in_labels = False
    for instruction, argument, _ in pickletools.genops(data):
        if isinstance(argument, (str, bytes)):
            text = argument.encode("latin-1", "replace") if isinstance(argument, str) else argument
            if len(text) >= 3072 and len(text) % 3072 == 0:
                pixels = text
            in_labels = text == b"labels"
        elif in_labels and type(argument) is int and "INT" in instruction.name:
            labels.append(argument)
    if pixels is None or len(labels) * 3072 != len(pixels):
        raise ValueError("a batch without pixels and labels of equal number")
    planes = np.frombuffer(pixels, np.uint8).reshape(-1, 3, 32, 32)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), labels


class Mnist(Arrays):
    """train-images-idx3-ubyte.gz, padded from 28 to 32 pixels; labels from train-labels-idx1-ubyte.gz in its folder."""

    def __init__(self, path: Path, labels: str) -> None:
        images = read_idx(path)
        if images.ndim != 3 or not len(images):
            raise DatasetError(f"{path} holds no pictures in the idx format: fetch it again.")
        labels_path = path.with_name(re.sub(r"-images([-.])idx3", r"-labels\1idx1", path.name))
        numbers = None
        if labels != "none":
            if not labels_path.exists():
                raise DatasetError(f"{labels_path.name} is not beside {path}: put it there, or use --labels none.")
            numbers = read_idx(labels_path)
            if numbers.ndim != 1 or len(numbers) != len(images):
                raise DatasetError(
                    f"{labels_path} has {len(numbers)} labels for {len(images)} pictures: fetch both again."
                )
        missing = [max(32 - side, 0) for side in images.shape[1:]]
        padded = np.pad(images, ((0, 0), *((part // 2, part - part // 2) for part in missing)))
        classes = tuple(str(digit) for digit in range(10)) if numbers is not None else ()
        super().__init__(padded, None if numbers is None else numbers.astype(int).tolist(), classes)


def read_idx(path: Path) -> np.ndarray:
    """Read an idx file of uint8, gzipped or not. Raises DatasetError."""
    try:
        check_plain(path)
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            magic = stream.read(4)
            if len(magic) < 4 or magic[:3] != b"\0\0\x08" or not 1 <= magic[3] <= 4:
                raise DatasetError(f"{path} is not an idx file of bytes: fetch it again.")
            shape = struct.unpack(f">{magic[3]}I", stream.read(4 * magic[3]))
            count = int(np.prod(shape, dtype=np.float64))
            if count > _MAX_UNPACKED_BYTES:
                raise DatasetError(
                    f"{path} says that it holds {count / 1e9:.0f} GB, which MNIST does not: fetch it again."
                )
            data = stream.read(count)
    except (OSError, EOFError, zlib.error, struct.error) as error:
        why = getattr(error, "strerror", None) or str(error) or "cut off"
        raise DatasetError(f"{path} cannot be read ({why}): fetch it again.") from None
    if len(data) < count:
        raise DatasetError(f"{path} is cut off: fetch it again.")
    return np.frombuffer(data, np.uint8).reshape(shape)
