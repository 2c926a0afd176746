"""What comes from outside: looked at before anything of it is decoded, and named by nobody but us."""

from __future__ import annotations

from dataclasses import dataclass

from blemish.data.decode import image_size, opened
from blemish.errors import ImageError
from blemish.serving.records import Upload

_LONGEST_NAME = 200
_MEDIA_TYPES = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "TIFF": "image/tiff",
    "BMP": "image/bmp",
    "WEBP": "image/webp",
    "PPM": "image/x-portable-anymap",
}


class UploadError(ImageError):
    """An image that is refused.

    Attributes:
        status: of the HTTP answer: 413 too large, 415 no image, 422 damaged.
    """

    def __init__(self, message: str, remedy: str, status: int) -> None:
        super().__init__(message, remedy)
        self.status = status


@dataclass(frozen=True)
class Limits:
    """What a request may bring.

    Attributes:
        bytes: of one image file.
        pixels: of one image.
        images: of one request.
        request_bytes: of one request, all images together.
    """

    bytes: int = 32_000_000
    pixels: int = 64_000_000
    images: int = 64
    request_bytes: int = 256_000_000


def plain_name(name: str | None) -> str | None:
    """The last part of what a client calls a file, in one line; None where nothing is left of it."""
    if name is None:
        return None
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    return "".join(letter for letter in last if letter.isprintable()).strip()[:_LONGEST_NAME] or None


def checked(content: bytes, limits: Limits, name: str | None = None) -> Upload:
    """An image whose header says that it is one, and no larger than allowed. Its pixels are not decoded.

    Args:
        content: of the file.
        limits: for it.
        name: what the client calls it; the last part of a path is kept, and what can be printed.

    Raises:
        UploadError: it is none, is damaged, or is too large.
    """
    if len(content) > limits.bytes:
        raise UploadError(
            f"The image has {len(content):,} bytes, more than the {limits.bytes:,} allowed.", "Scale it down.", 413
        )
    try:
        with opened(content, limits.pixels) as image:
            kind = image.format or ""
        return Upload(content, _MEDIA_TYPES[kind], image_size(content), plain_name(name))
    except ImageError as error:
        status = 413 if "allowed" in error.message else 415 if "is not an image" in error.message else 422
        raise UploadError(error.message, error.remedy, status) from error
