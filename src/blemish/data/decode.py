"""Image files to pixels: every usual mode to 8-bit RGB, and a clear `ImageError` for everything else."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import BmpImagePlugin, Image, JpegImagePlugin, PngImagePlugin, PpmImagePlugin, TiffImagePlugin, WebPImagePlugin

from blemish.data.files import image_files
from blemish.errors import ImageError

__all__ = [
    "IntensityRange",
    "Source",
    "bit_depth",
    "image_files",
    "image_size",
    "intensity_range",
    "load_square",
    "opened",
    "orientation",
    "read_image",
    "square",
    "upright",
]

IntensityRange = tuple[int, int]
Source = str | Path | bytes
"""An image file: its path, or its content."""
MAX_PIXELS = 200_000_000
MIN_SIDE = 8
# importing a plugin registers its format
_FORMATS = tuple(
    file_class.format
    for file_class in (
        JpegImagePlugin.JpegImageFile,
        PngImagePlugin.PngImageFile,
        TiffImagePlugin.TiffImageFile,
        BmpImagePlugin.BmpImageFile,
        WebPImagePlugin.WebPImageFile,
        PpmImagePlugin.PpmImageFile,
    )
)
_DEEP_MODES = frozenset({"I", "F", "I;16", "I;16B", "I;16L", "I;16N"})
_FULL_RANGE: dict[str, IntensityRange] = {"F": (0, 1)}
_FULL_16_BIT: IntensityRange = (0, 65535)
_HEADROOM = 0.1
_ORIENTATION_TAG, _WIDTH_TAG, _HEIGHT_TAG = 0x0112, 0x0100, 0x0101
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_image(
    path: Source,
    *,
    intensity_range: IntensityRange | None = None,
    max_pixels: int = MAX_PIXELS,
    side: int | None = None,
) -> NDArray[np.uint8]:
    """Decode an image file to RGB, uint8, H×W×3, upright by its EXIF orientation.

    Grey, 1-bit, palette, CMYK and YCbCr are converted. Transparent pixels are composited on white. Images of more
    than 8 bits per grey value (16-bit and 32-bit integer, float) are scaled linearly so that `intensity_range` becomes
    0…255, clipped; without a range that is 0…65535 for integers and 0…1 for floats. Colour of 16 bits per channel
    keeps its upper 8 bits. Of a file with several pages the first is read.

    Args:
        path: JPEG, PNG, TIFF, BMP, WebP or PPM/PGM, or its content; that decides, not the suffix.
        intensity_range: lowest and highest value, see `intensity_range()`; without effect on 8-bit images.
        max_pixels: larger images are refused before they are decoded.
        side: a JPEG may be decoded at a half, quarter or eighth of its size, with no side shorter than this.

    Raises:
        ImageError: no such file, not an image, damaged, cut off, too large, or under 8 pixels a side.
    """
    with opened(path, max_pixels) as image:
        if side is not None:
            image.draft(None, (side, side))
        return _pixels(upright(_eight_bit(image, intensity_range), orientation(image)))


def load_square(path: Source, size: int, intensity_range: IntensityRange | None = None) -> NDArray[np.uint8]:
    """Decode an image file and squash it to RGB, uint8, size×size×3; everything else as `read_image`.

    Antialiased bilinear. A JPEG of at least four times `size` is decoded at a half, quarter or eighth of its size,
    still at least twice `size`; the original size is `image_size(path)`.
    """
    with opened(path) as image:
        image.draft(None, (2 * size, 2 * size))
        small = _squashed(_eight_bit(image, intensity_range), size)
        return _pixels(upright(small, orientation(image)))


def square(pixels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Squash pixels in memory as `load_square` does: uint8 H×W×3 or H×W to size×size×3.

    Raises:
        ImageError: the array is of another type or shape.
    """
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] != 3):
        found = f"{pixels.dtype} {'×'.join(map(str, pixels.shape))}"
        raise ImageError(f"An image array must be uint8, H×W×3 or H×W, not {found}.", "Convert it to 8-bit RGB.")
    return _pixels(_squashed(Image.fromarray(np.ascontiguousarray(pixels)), size))


def image_size(path: Source) -> tuple[int, int]:
    """Width and height after EXIF rotation, from the file's header alone.

    Raises:
        ImageError: as `read_image`, but damage behind the header stays unseen.
    """
    with opened(path) as image:
        width, height = image.size
        if image.format == "TIFF":  # Pillow versions differ in whether the size of a TIFF is already turned
            tags = image.getexif()
            width, height = tags.get(_WIDTH_TAG, width), tags.get(_HEIGHT_TAG, height)
        return (height, width) if orientation(image) >= 5 else (width, height)


def bit_depth(path: Source) -> int:
    """Bits per channel as stored: 8 for all ordinary images, 16 or 32 for deep grey ones; from the header alone.

    Raises:
        ImageError: as `image_size`.
    """
    with opened(path) as image:
        return (16 if image.mode.startswith("I;16") else 32) if image.mode in _DEEP_MODES else 8


def intensity_range(paths: Iterable[str | Path]) -> IntensityRange | None:
    """The range of grey values to which deep images of one product are scaled, or None when all have 8 bits.

    From the lowest to the highest value in all 16-bit, 32-bit and float images among `paths`, widened by a tenth on
    both sides (not beyond 0…65535 for integers), so that a defect somewhat brighter than every normal pixel is not
    clipped. Unreadable images are passed over.
    """
    low, high, integer = math.inf, -math.inf, True
    for path in paths:
        try:
            with opened(path) as image:
                if image.mode in _DEEP_MODES:
                    values = _deep_values(image)
                    low, high = min(low, float(values.min())), max(high, float(values.max()))
                    integer = integer and image.mode != "F"
        except ImageError:
            continue
    if low > high:
        return None
    margin = _HEADROOM * (high - low)
    wide_low, wide_high = math.floor(low - margin), math.ceil(high + margin)
    if integer:
        wide_low, wide_high = max(wide_low, min(0, math.floor(low))), min(wide_high, max(65535, math.ceil(high)))
    return wide_low, max(wide_high, wide_low + 1)


@contextmanager
def opened(path: Source, max_pixels: int = MAX_PIXELS, min_side: int = MIN_SIDE) -> Iterator[Image.Image]:
    """An image whose header is read and checked; whatever goes wrong in the `with` block becomes an `ImageError`."""
    name = _named(path)
    try:
        with BytesIO(path) if isinstance(path, bytes) else open(path, "rb") as stream:
            image = _identified(stream, path)
            width, height = image.size
            if width * height > max_pixels:
                raise ImageError(
                    f"{name} has {width} × {height} pixels, more than the {max_pixels / 1e6:g} million allowed.",
                    "Cut or scale the image down.",
                )
            if min(width, height) < min_side:
                raise ImageError(
                    f"{name} has {width} × {height} pixels, less than {min_side} a side.", "Remove the file."
                )
            yield image
    except ImageError:
        raise
    except FileNotFoundError as error:
        raise ImageError(f"There is no file {name}.", "Check the path.") from error
    except MemoryError as error:
        raise ImageError(f"There is not enough memory to read {name}.", "Scale the image down.") from error
    except Exception as error:  # decoders fail on damaged files in ways of their own: struct.error, IndexError, …
        if isinstance(error, OSError) and error.strerror:
            raise ImageError(
                f"{name} cannot be read: {error.strerror}.", "Check that it is a readable file."
            ) from error
        reason = str(error).strip(" .") or type(error).__name__
        raise ImageError(f"{name} is damaged or cut off: {reason}.", "Replace or remove the file.") from error


def _named(path: Source) -> str:
    return "The image" if isinstance(path, bytes) else os.fspath(path)


def _identified(stream: IO[bytes], path: Source) -> Image.Image:
    """The image in `stream`, its pixels not yet decoded.

    `Image.open` is passed by because it holds images against a limit of the whole process and tries all formats.
    """
    name = _named(path)
    prefix = stream.read(16)
    if not prefix:
        raise ImageError(f"{name} is empty.", "Replace or remove the file.")
    for format in _FORMATS:
        factory, accept = Image.OPEN[str(format)]
        if accept is not None and accept(prefix) is True:
            stream.seek(0)
            return factory(stream, "" if isinstance(path, bytes) else name)  # Pillow maps some files by name
    raise ImageError(f"{name} is not an image ({', '.join(map(str, _FORMATS))}).", "Replace or remove the file.")


def _eight_bit(image: Image.Image, scale: IntensityRange | None) -> Image.Image:
    """The image in mode L or RGB."""
    image.load()
    if image.mode in _DEEP_MODES:
        low, high = scale or _FULL_RANGE.get(image.mode, _FULL_16_BIT)
        values = (_deep_values(image).astype(np.float32) - low) * (255 / max(high - low, 1))
        return Image.fromarray(np.rint(values.clip(0, 255)).astype(np.uint8))
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    if image.mode in ("L", "RGB"):
        return image
    return image.convert("L" if image.mode == "1" else "RGB")


def _deep_values(image: Image.Image) -> NDArray[Any]:
    values = np.asarray(image)
    if not np.isfinite(values).all():
        raise ValueError("it holds values that are not finite")
    return values


def _squashed(image: Image.Image, size: int) -> Image.Image:
    return image.resize((size, size), Image.Resampling.BILINEAR, reducing_gap=3.0)


def _pixels(image: Image.Image) -> NDArray[np.uint8]:
    pixels = np.array(image, dtype=np.uint8)
    return np.repeat(pixels[:, :, None], 3, axis=2) if pixels.ndim == 2 else pixels


def orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 to 8; 1 when there is none or it cannot be understood."""
    # looking for EXIF behind the pixels of a PNG would decode it
    if image.format == "PNG" and not image.info.keys() & {"exif", "Raw profile type exif"}:
        return 1
    try:
        found = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # damaged metadata is no reason to refuse good pixels
        return 1
    return found if found in _UPRIGHT else 1


def upright(image: Image.Image, exif_orientation: int) -> Image.Image:
    """The image turned as an EXIF orientation (1 to 8) asks."""
    return image.transpose(_UPRIGHT[exif_orientation]) if exif_orientation in _UPRIGHT else image
