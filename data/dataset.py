"""Dataset for training: a folder or zip of square images of one size, with or without labels."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from data import labels as labelling
from data.archive import Archive
from data.errors import DatasetError, ImageError
from data.image_decoding import decode, is_gray, open_image, to_chw, to_rgb, translate_errors
from data.label_matching import match_names, refuse_unmatched
from data.unreadable_images import no_images_message

_MAX_HEADERS_CHECKED = 4000


class Dataset:
    """Images uint8 [C,H,W] and labels float32 [L], by index.

    path: a folder (all images in it, recursively) or a zip; files in the order of their sorted names.
    use_labels: read `dataset.json`; class numbers become one-hot of size (largest number + 1), vectors stay.
    xflip: doubles the length; the second half is the first half mirrored.
    max_size, random_seed: a random subset of that many images, drawn before xflip doubles them.
    resolution: raise DatasetError for images of another size.
    channels: 1 or 3 convert all images to grayscale or RGB; None is RGB unless all images checked are grayscale.

    Can be sent to other processes (fork or spawn). Raises DatasetError, one sentence, if the folder or zip is missing,
    empty, damaged, of mixed sizes, not square, not labeled, or changed while it was open.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        use_labels: bool = False,
        xflip: bool = False,
        max_size: int | None = None,
        random_seed: int = 0,
        resolution: int | None = None,
        channels: int | None = None,
    ) -> None:
        self.path = Path(path)
        self.name = self.path.resolve().stem
        self.xflip = xflip
        self._archive = Archive(path)
        self._names = self._archive.images
        if not self._names:
            raise DatasetError(no_images_message(self._archive))
        first_is_gray, self.resolution = self._probe_first_image()
        if resolution is not None and resolution != self.resolution:
            raise DatasetError(
                f"{path} holds pictures of {self.resolution} pixels, but {resolution} are asked for: "
                f"make one of that size with `visualizer.py dataset --resolution {resolution}x{resolution}`."
            )
        all_gray = self._check_headers(first_is_gray)
        self.channels = channels or (1 if all_gray else 3)
        self.classes: tuple[str, ...] = ()
        self.notes: tuple[str, ...] = ()  # sentences about how the labels were read
        self.styles: tuple[labelling.Style, ...] = ()  # family and style of every typeface, sorted
        self._style_indices = np.full(len(self._names), -1)  # of each file; -1 for none
        self._style_members: dict[int, np.ndarray] = {}
        self._labels = self._read_labels() if use_labels else None
        self._file_indices = np.arange(len(self._names))
        if max_size is not None and max_size < 1:
            raise DatasetError(f"max_size is {max_size}, but a dataset needs at least one picture.")
        if max_size is not None and max_size < len(self._names):
            np.random.RandomState(random_seed).shuffle(self._file_indices)
            self._file_indices = np.sort(self._file_indices[:max_size])

    def __len__(self) -> int:
        return len(self._file_indices) * (2 if self.xflip else 1)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the image uint8 [C,H,W] and its label float32 [L]."""
        return self.image(index), self.label(index)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return (self.channels, self.resolution, self.resolution)

    @property
    def has_labels(self) -> bool:
        return self._labels is not None

    @property
    def has_onehot_labels(self) -> bool:
        return self._labels is not None and self._labels.ndim == 1

    @property
    def label_dim(self) -> int:
        """Length L of a label; 0 without labels."""
        return 0 if self._labels is None else labelling.label_dim(self._labels)

    def empty_classes(self) -> list[int]:
        """Return the class numbers below `label_dim` of which there is no image."""
        if self._labels is None or self._labels.ndim > 1:
            return []
        present = set(self._labels[self._file_indices].tolist())
        return [number for number in range(self.label_dim) if number not in present]

    @property
    def label_shape(self) -> tuple[int]:
        return (self.label_dim,)

    def raw_index(self, index: int) -> int:
        """Return the index of the image's file among all sorted names."""
        return int(self._file_indices[self._check_index(index) % len(self._file_indices)])

    def is_flipped(self, index: int) -> bool:
        return self._check_index(index) >= len(self._file_indices)

    def file(self, index: int) -> str:
        """Return the name of the image's file in the folder or zip."""
        return self._names[self.raw_index(index)]

    def image(self, index: int) -> np.ndarray:
        """Read an image, uint8 [C,H,W]. Raises DatasetError if its file is damaged, missing or of another size."""
        pixels = self._read(self.raw_index(index))
        return np.ascontiguousarray(pixels[:, :, ::-1]) if self.is_flipped(index) else pixels

    def label(self, index: int) -> np.ndarray:
        """Return a label float32 [L]: one-hot for classes; L is 0 without labels."""
        if self._labels is None:
            return np.zeros(0, np.float32)
        return labelling.one_hot(self._labels[self.raw_index(index)], self.label_dim)

    def class_index(self, index: int) -> int | None:
        """Return the class number; None without classes."""
        return int(self._labels[self.raw_index(index)]) if self._labels is not None and self._labels.ndim == 1 else None

    @property
    def has_styles(self) -> bool:
        """Whether `dataset.json` gives the images' styles; they are read with the labels."""
        return bool(self.styles)

    def style_index(self, index: int) -> int | None:
        """Return the index of the image's style in `styles`; None if it has none."""
        number = int(self._style_indices[self.raw_index(index)])
        return number if number >= 0 else None

    def of_style(self, number: int) -> np.ndarray:
        """Return the indices int64 [K] of the images of one of `styles`, without the mirrored ones."""
        if number not in self._style_members:
            self._style_members[number] = np.flatnonzero(self._style_indices[self._file_indices] == number)
        return self._style_members[number]

    def random_of_same_style(self, index: int, chance: float) -> int:
        """Choose an image of the same style by `chance` in [0, 1), mirrored if `index` is; without a style, itself."""
        if (style := self.style_index(index)) is None:
            return index
        half = self._check_index(index) // len(self._file_indices)
        members = self.of_style(style)
        return half * len(self._file_indices) + int(members[int(chance * len(members))])

    def batch(self, indices: Iterable[int]) -> tuple[np.ndarray, np.ndarray]:
        """Read several images and labels: uint8 [N,C,H,W] and float32 [N,L]."""
        indices_ = [int(index) for index in indices]
        images = np.empty((len(indices_), *self.image_shape), np.uint8)
        labels = np.empty((len(indices_), self.label_dim), np.float32)
        for row, index in enumerate(indices_):
            images[row], labels[row] = self[index]
        return images, labels

    def check(self, progress: Callable[[int, int], None] | None = None) -> None:
        """Read every image once, calling progress(done, total). Raises DatasetError for the first that fails."""
        for done, index in enumerate(self._file_indices):
            self._read(int(index))
            if progress:
                progress(done + 1, len(self._file_indices))

    def fingerprint(self) -> str:
        """Hash names, sizes, labels and, in a zip, checksums, to detect changes of the data."""
        digest = hashlib.sha256(repr(self._archive.checksums()).encode())
        digest.update(b"" if self._labels is None else self._labels.tobytes())
        digest.update(self._style_indices.tobytes() if self.styles else b"")
        digest.update(self._file_indices.tobytes() + bytes([self.xflip]))
        return digest.hexdigest()[:16]

    @property
    def archive(self) -> Archive:
        """The folder or zip of the images."""
        return self._archive

    def close(self) -> None:
        """Close the zip; it is reopened when needed."""
        self._archive.close()

    # Helpers

    def _check_index(self, index: int) -> int:
        if not 0 <= index < len(self):
            raise IndexError(f"picture {index} of {len(self)}")
        return index

    def _read(self, raw: int) -> np.ndarray:
        name = self._names[raw]
        try:
            image = decode(open_image(self._archive.read(name)))
            if image.size != (self.resolution, self.resolution):
                raise self._size_error(name, image.size)
            with translate_errors():
                return to_chw(to_rgb(image, self.channels))
        except ImageError as error:
            raise self._read_error(name, error) from None

    def _probe_first_image(self) -> tuple[bool, int]:
        """Return whether the first image is grayscale, and its size in pixels."""
        name = self._names[0]
        try:
            image = decode(open_image(self._archive.read(name)))
        except ImageError as error:
            raise self._read_error(name, error) from None
        if image.width != image.height:
            raise DatasetError(
                f"{name} in {self.path} is {image.width}x{image.height}, but pictures to train on are square: "
                "make square ones with `visualizer.py dataset --transform center-crop`."
            )
        return is_gray(image), image.width

    def _check_headers(self, all_gray: bool) -> bool:
        """Check sizes now rather than hours into a training; return `all_gray` if all images checked are grayscale."""
        sizes = {self._archive.sizes[name] for name in self._names}
        if len(sizes) == 1 and self._archive.is_zip:
            return all_gray  # uncompressed images of one size and mode, as the `dataset` command writes them
        step = -(-len(self._names) // _MAX_HEADERS_CHECKED)
        for name in self._names[::step]:
            try:
                try:
                    image = open_image(self._archive.head(name))
                except ImageError:  # photos may have headers longer than the bytes read
                    image = open_image(self._archive.read(name))
            except ImageError as error:
                raise self._read_error(name, error) from None
            if image.size != (self.resolution, self.resolution):
                raise self._size_error(name, image.size)
            all_gray = all_gray and is_gray(image)
        return all_gray

    def _read_labels(self) -> np.ndarray:
        document = self._archive.json()
        labels = labelling.parse_labels(document, self.path)
        if labels is None:
            raise DatasetError(
                f"{self.path} has no labels: train without --cond, or make it from class folders or a dataset.json."
            )
        folder = self._archive.json_folder() or ""
        match = match_names(self._names, labels, self.path, folder)
        refuse_unmatched(self._names, match, self.path)
        if match.renamed:
            kind, image, name = match.renamed[0]
            others = f" and {len(match.renamed) - 1} others" if len(match.renamed) > 1 else ""
            self.notes += (f"Labels of dataset.json matched: {name} for {image}{others} ({kind}).",)
        self.classes = labelling.class_names(document)
        styles = labelling.parse_styles(document, self.path)
        self._read_styles(match_names(self._names, styles, self.path, folder).values)
        return labelling.align_labels(self._names, match.values, self.path)

    def _read_styles(self, found: dict[str, labelling.Style]) -> None:
        of_files = [found.get(name) for name in self._names]
        self.styles = tuple(sorted({style for style in of_files if style is not None}))
        numbers: dict[labelling.Style | None, int] = {style: number for number, style in enumerate(self.styles)}
        self._style_indices = np.array([numbers.get(style, -1) for style in of_files], np.int64)

    def _read_error(self, name: str, error: ImageError) -> DatasetError:
        return DatasetError(f"{name} in {self.path} cannot be read ({error}): replace or remove it.")

    def _size_error(self, name: str, size: tuple[int, int]) -> DatasetError:
        return DatasetError(
            f"{name} in {self.path} is {size[0]}x{size[1]}, but the first picture is "
            f"{self.resolution}x{self.resolution}: make them one size with `visualizer.py dataset --resolution`."
        )
