"""Images as many small overlapping patches and back, and two photographs to try it on."""

from __future__ import annotations

import math

import torch

from factorkit.arguments import one_of, positive_integers

__all__ = ["from_patches", "image_patches", "photograph", "psnr"]


def image_patches(image: torch.Tensor, size: int, stride: int = 1) -> torch.Tensor:
    """All square patches of a grayscale image, as rows.

    Parameters
    ----------
    image : Tensor, shape (height, width)
    size : int
        Height and width of a patch, in pixels.
    stride : int, optional
        Pixels from one patch to the next. The last patch of each row and column ends at the border of the image even
        where the stride would not lead there, so that every pixel is in a patch.

    Returns
    -------
    Tensor, shape (n, size**2)

    Raises
    ------
    ValueError
        If the image is no matrix or smaller than a patch.

    Examples
    --------
    >>> image_patches(torch.arange(9.0).reshape(3, 3), size=2).tolist()
    [[0.0, 1.0, 3.0, 4.0], [1.0, 2.0, 4.0, 5.0], [3.0, 4.0, 6.0, 7.0], [4.0, 5.0, 7.0, 8.0]]
    """
    rows, columns = _origins(tuple(image.shape), size, stride)
    windows = image.unfold(0, size, 1).unfold(1, size, 1)
    return windows[rows][:, columns].reshape(-1, size * size)


def from_patches(patches: torch.Tensor, shape: tuple[int, int], stride: int = 1) -> torch.Tensor:
    """The image whose pixels are the means of all patches that cover them.

    Parameters
    ----------
    patches : Tensor, shape (n, size**2)
        In the order of :func:`image_patches`.
    shape : (int, int)
        Height and width of the image.
    stride : int, optional
        The same as when the patches were cut.

    Returns
    -------
    Tensor, shape ``shape``

    Raises
    ------
    ValueError
        If an image of this shape has another number of patches.

    Examples
    --------
    >>> image = torch.rand(10, 13)
    >>> torch.allclose(from_patches(image_patches(image, 4, stride=3), (10, 13), stride=3), image)
    True
    """
    size = math.isqrt(patches.shape[1]) if patches.dim() == 2 else 0
    if not size or size * size != patches.shape[1]:
        raise ValueError(f"patches of shape {tuple(patches.shape)}: give a row of size x size numbers for each patch.")
    rows, columns = _origins(shape, size, stride)
    if len(patches) != len(rows) * len(columns):
        raise ValueError(
            f"{len(patches)} patches: an image of {shape[0]} x {shape[1]} pixels has {len(rows)} x {len(columns)} "
            f"patches of {size} x {size} pixels at stride {stride}."
        )
    windows = patches.reshape(len(rows), len(columns), size, size)
    total, count = patches.new_zeros(shape), patches.new_zeros(shape)
    for down in range(size):
        for right in range(size):
            place = (rows[:, None] + down, columns + right)
            total[place] += windows[:, :, down, right]
            count[place] += 1
    return total / count


def _origins(shape: tuple[int, ...], size: int, stride: int) -> list[torch.Tensor]:
    """First rows and first columns of the patches."""
    positive_integers(size=size, stride=stride)
    if len(shape) != 2 or min(shape) < size or stride > size:
        raise ValueError(
            f"an image of shape {tuple(shape)} in patches of {size} x {size} pixels at stride {stride}: give a "
            "grayscale image, height x width, at least as large as a patch, and a stride of at most its size."
        )
    return [torch.tensor(sorted({*range(0, length - size, stride), length - size})) for length in shape]


def photograph(name: str = "china", size: int = 256) -> torch.Tensor:
    """The middle of a photograph that comes with scikit-learn, in gray.

    Parameters
    ----------
    name : {"china", "flower"}, optional
        A pagoda of fine details before a calm lake, or the petals of a dahlia.
    size : int, optional
        Height and width of the part, in pixels, at most 427.

    Returns
    -------
    Tensor, shape (size, size)
        Luma (ITU-R BT.601), from 0, black, to 1, white.

    Raises
    ------
    ValueError
        If there is no such photograph, or it is smaller.

    Examples
    --------
    >>> photograph("flower", 64).shape
    torch.Size([64, 64])
    """
    from sklearn.datasets import load_sample_image

    one_of("name", name, ("china", "flower"))
    positive_integers(size=size)
    pixels = torch.tensor(load_sample_image(f"{name}.jpg"), dtype=torch.float32) / 255
    height, width = pixels.shape[:2]
    if size > min(height, width):
        raise ValueError(
            f"size={size}: the photograph has {height} x {width} pixels; take at most {min(height, width)}."
        )
    top, left = (height - size) // 2, (width - size) // 2
    return pixels[top : top + size, left : left + size] @ torch.tensor([0.299, 0.587, 0.114])


def psnr(image: torch.Tensor, reference: torch.Tensor) -> float:
    r"""Peak signal-to-noise ratio of an image with values from 0 to 1, in decibels.

    .. math:: 10 \log_{10} \frac{1}{\operatorname{mean}\bigl((\text{image} - \text{reference})^2\bigr)}

    Raises
    ------
    ValueError
        If the shapes differ.

    Examples
    --------
    >>> round(psnr(torch.full((8, 8), 0.6), torch.full((8, 8), 0.5)), 2)
    20.0
    """
    if image.shape != reference.shape:
        raise ValueError(f"image {tuple(image.shape)} and reference {tuple(reference.shape)}: give two of one shape.")
    error = (image.double() - reference.double()).square().mean().item()
    return -10 * math.log10(error) if error else math.inf
