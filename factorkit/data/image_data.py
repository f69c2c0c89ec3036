"""A data set of images, split into train and test."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

__all__ = ["Batches", "ImageData"]


@dataclass(frozen=True, eq=False, repr=False)
class ImageData:
    """Images and labels of a data set, in the form in which they are stored: one byte per pixel and channel.

    Attributes
    ----------
    name : str
        The name to load it by.
    train_images, test_images : uint8 tensor, N x C x H x W
        Values 0 to 255.
    train_labels, test_labels : int64 tensor, N
        Index into ``classes``.
    classes : tuple of str
        Name of each class.
    mean, std : tuple of float, length C
        Mean and standard deviation of each channel over all train images, with values scaled to 0 ... 1. A
        :meth:`subset` keeps those of the whole set, so that a network sees the same inputs with either.

    Examples
    --------
    >>> from factorkit.data import load
    >>> load("digits")
    ImageData 'digits': 1,437 train and 360 test images of 1 x 8 x 8, 10 classes: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9
    """

    name: str
    train_images: torch.Tensor
    train_labels: torch.Tensor
    test_images: torch.Tensor
    test_labels: torch.Tensor
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if self.train_images.shape[1:] != self.test_images.shape[1:]:
            raise ValueError(
                f"train images of shape {tuple(self.train_images.shape)} and test images of shape "
                f"{tuple(self.test_images.shape)}: channels, height and width must agree"
            )
        for split in ("train", "test"):
            images, labels = self.images_and_labels(split)
            if images.dtype != torch.uint8 or images.ndim != 4 or len(images) == 0:
                raise ValueError(
                    f"{split} images of shape {tuple(images.shape)} and type {images.dtype}: must be N x C x H x W, "
                    "uint8, at least one"
                )
            if labels.dtype != torch.int64 or labels.shape != images.shape[:1]:
                raise ValueError(
                    f"{split} labels of shape {tuple(labels.shape)} and type {labels.dtype}: must be int64, one for "
                    f"each of the images of shape {tuple(images.shape)}"
                )
            low, high = int(labels.min()), int(labels.max())
            if low < 0 or high >= self.num_classes:
                raise ValueError(f"{split} labels from {low} to {high}: must lie in 0 ... {self.num_classes - 1}")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != self.input_shape[0]:
                raise ValueError(f"{name}={values!r}: must have one value for each of {self.input_shape[0]} channels")
        if min(self.std) <= 0:
            raise ValueError(f"std={self.std!r}: must be positive; a channel of one value only carries nothing")

    def __repr__(self) -> str:
        shown = ", ".join(self.classes[:10]) + (", ..." if self.num_classes > 10 else "")
        return (
            f"ImageData {self.name!r}: {len(self.train_images):,} train and {len(self.test_images):,} test images of "
            f"{' x '.join(map(str, self.input_shape))}, {self.num_classes} classes: {shown}"
        )

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one image."""
        channels, height, width = self.train_images.shape[1:]
        return channels, height, width

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.classes)

    def images_and_labels(self, split: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Both tensors of a split, ``"train"`` or ``"test"``."""
        if split == "train":
            return self.train_images, self.train_labels
        if split == "test":
            return self.test_images, self.test_labels
        raise ValueError(f"unknown split {split!r}: must be 'train' or 'test'")

    def normalize(self, images: torch.Tensor) -> torch.Tensor:
        """Scale images to zero mean and unit variance: ``(images / 255 - mean) / std``, channel by channel.

        Parameters
        ----------
        images : uint8 tensor, N x C x H x W or C x H x W
            Any height and width; on any device.

        Returns
        -------
        float32 tensor of the same shape, on the same device

        Raises
        ------
        ValueError
            If the number of channels is not that of the data set, or the images are not ``uint8``.

        Examples
        --------
        >>> from factorkit.data import load
        >>> data = load("digits")
        >>> inputs = data.normalize(data.train_images)
        >>> inputs.dtype, abs(inputs.mean().item()) < 1e-5, round(inputs.std().item(), 4)
        (torch.float32, True, 1.0)
        """
        channels = self.input_shape[0]
        if images.ndim not in (3, 4) or images.shape[-3] != channels:
            raise ValueError(
                f"cannot normalize images of shape {tuple(images.shape)}: {self.name!r} has images of shape "
                f"{self.input_shape}, so they must be N x {channels} x H x W"
            )
        if images.dtype != torch.uint8:
            raise ValueError(
                f"cannot normalize images of type {images.dtype}: must be uint8, with values 0 to 255, as stored "
                "(were they normalized before?)"
            )
        mean = torch.tensor(self.mean, device=images.device).reshape(channels, 1, 1)
        std = torch.tensor(self.std, device=images.device).reshape(channels, 1, 1)
        return images.float().div_(255).sub_(mean).div_(std)

    def subset(self, train: int | None = None, test: int | None = None) -> ImageData:
        """The first images of each split; ``None`` keeps them all.

        The statistics stay those of the whole set, and the memory is shared with it.

        Raises
        ------
        ValueError
            If more images are asked for than there are, or fewer than one.

        Examples
        --------
        >>> from factorkit.data import load
        >>> small = load("digits").subset(train=100, test=50)
        >>> len(small.train_images), len(small.test_labels)
        (100, 50)
        """
        for split, count in (("train", train), ("test", test)):
            there = len(self.images_and_labels(split)[0])
            if count is not None and not 1 <= count <= there:
                raise ValueError(f"cannot take {count} {split} images: {self.name!r} has {there}, so 1 to {there} can")
        return replace(
            self,
            train_images=self.train_images[:train],
            train_labels=self.train_labels[:train],
            test_images=self.test_images[:test],
            test_labels=self.test_labels[:test],
        )

    def loader(
        self,
        split: str,
        batch_size: int = 128,
        *,
        shuffle: bool = False,
        generator: torch.Generator | None = None,
    ) -> Batches:
        """Batches of ``uint8`` images and labels, to be normalized where they are used.

        Parameters
        ----------
        split : {"train", "test"}
        batch_size : int, optional
            Images per batch; the last batch may be smaller.
        shuffle : bool, optional
            Whether each pass takes the images in a new random order.
        generator : torch.Generator, optional
            Source of the order when shuffling; without one, a new generator with seed 0. The global random state is
            never used.

        Raises
        ------
        ValueError
            If the split is unknown or ``batch_size`` is less than 1.

        Examples
        --------
        >>> from factorkit.data import load
        >>> batches = load("digits").loader("test", batch_size=100)
        >>> [len(labels) for images, labels in batches]
        [100, 100, 100, 60]
        """
        images, labels = self.images_and_labels(split)
        if batch_size < 1:
            raise ValueError(f"batch_size={batch_size}: must be at least 1")
        if shuffle and generator is None:
            generator = torch.Generator().manual_seed(0)
        return Batches(images, labels, batch_size, generator if shuffle else None)


@dataclass(frozen=True, eq=False, repr=False)
class Batches:
    """Pairs of images and labels, batch by batch; see :meth:`ImageData.loader`."""

    images: torch.Tensor
    labels: torch.Tensor
    batch_size: int
    generator: torch.Generator | None

    def __len__(self) -> int:
        return math.ceil(len(self.labels) / self.batch_size)

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        if self.generator is None:
            yield from zip(self.images.split(self.batch_size), self.labels.split(self.batch_size), strict=True)
            return
        order = torch.randperm(len(self.labels), generator=self.generator, device=self.generator.device)
        for rows in order.to(self.labels.device).split(self.batch_size):
            yield self.images[rows], self.labels[rows]
