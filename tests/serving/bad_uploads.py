"""A corpus of uploads that are none: cut off, bombs, of a wrong kind, two kinds at once, too small, damaged."""

from __future__ import annotations

import gzip
import struct
import zipfile
import zlib
from collections.abc import Iterator
from io import BytesIO

import numpy as np
from PIL import Image

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "PPM")
_HUGE = 60_000
_PNG = b"\x89PNG\r\n\x1a\n"


def corpus() -> Iterator[tuple[str, bytes]]:
    """Names and contents; the name says what is wrong."""
    yield from _cut_off()
    yield from _bombs()
    yield from _other_kinds()
    yield from _two_kinds()
    yield from _too_small()
    yield from _damaged()
    yield from _noise()


def whole(kind: str, side: int = 48, **options: object) -> bytes:
    """A picture that is in order."""
    pixels = np.random.default_rng(side).integers(0, 256, (side, side, 3), dtype=np.uint8)
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def _cut_off() -> Iterator[tuple[str, bytes]]:
    for kind in FORMATS:
        content = whole(kind)
        for share in (0.0, 0.002, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9):
            yield f"{kind} cut off at {share}", content[: int(share * len(content))]
        yield f"{kind} whose second half is empty", content[: len(content) // 4]


def _bombs() -> Iterator[tuple[str, bytes]]:
    """Headers that promise more pixels than allowed, and data that swells."""
    nothing = zlib.compress(bytes(10_000))
    for width, height in ((_HUGE, _HUGE), (2**31 - 1, 8), (8, 2**31 - 1), (2**31 - 1, 2**31 - 1), (9_000, 9_000)):
        size = f"{width} x {height}"
        yield f"PNG of {size}", _png(width, height, nothing)
        yield f"PPM of {size}", f"P6 {width} {height} 255\n".encode() + bytes(1000)
        yield f"PGM of {size}", f"P5 {width} {height} 65535\n".encode() + bytes(1000)
        yield f"PBM of {size}", f"P4 {width} {height}\n".encode() + bytes(1000)
        header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
        yield f"BMP of {size}", b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + header + bytes(1000)
        yield f"TIFF of {size}", _tiff(width, height)
    for side in (16_383, 65_500):
        frame = b"\xff\xc0" + struct.pack(">HBHHB", 17, 8, side, side, 3) + b"\x01\x22\x00\x02\x11\x01\x03\x11\x01"
        yield (
            f"JPEG of {side} a side",
            b"\xff\xd8" + frame + b"\xff\xda\x00\x0c\x03\x01\x00\x02\x11\x03\x11\x00\x3f\x00",
        )
    for side in (9_000, 16_384):
        canvas = struct.pack("<I", side - 1)[:3] * 2
        body = b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + canvas
        yield f"WebP of {side} a side", b"RIFF" + struct.pack("<I", len(body)) + body
    swollen = zlib.compress(bytes(80_000_000), 9)
    yield "PNG with a text that swells", _png(16, 16, zlib.compress(bytes(16 * 49)), (b"zTXt", b"a\0\0" + swollen))
    international = b"a\0\1\0\0\0" + swollen
    yield "PNG with an iTXt that swells", _png(16, 16, zlib.compress(bytes(16 * 49)), (b"iTXt", international))
    yield "PNG that is smaller than its data", _png(9_000, 9_000, zlib.compress(bytes(9_000 * 9_001), 9))


def _other_kinds() -> Iterator[tuple[str, bytes]]:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../../etc/cron.d/x", bytes(100_000))
    picture = Image.fromarray(np.zeros((32, 32, 3), np.uint8))
    for kind in ("GIF", "ICO", "TGA", "PCX", "SGI", "DDS", "PDF", "EPS", "MSP"):
        other = BytesIO()
        (picture.convert("1") if kind == "MSP" else picture).save(other, kind)
        yield kind, other.getvalue()
    yield "ZIP", buffer.getvalue()
    yield from {
        "gzip of a PNG": gzip.compress(whole("PNG")),
        "text": b"hello",
        "one byte": b"\0",
        "zeros": bytes(4096),
        "ones": b"\xff" * 4096,
        "HTML": b"<!doctype html><script>alert(1)</script>",
        "JavaScript": b"fetch('/v1/models')",
        "SVG": b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'><rect width='9' height='9'/></svg>",
        "SVG that reads files": b"<?xml version='1.0'?><!DOCTYPE svg [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>"
        b"<svg xmlns='http://www.w3.org/2000/svg'><text>&x;</text></svg>",
        "XML that swells": b"<!DOCTYPE x [<!ENTITY a 'aaaaaaaa'><!ENTITY b '&a;&a;&a;'>]><x>&b;</x>",
        "JSON": b'{"images": []}',
        "JSON of nothing but brackets": b"[" * 50_000,
        "ELF": b"\x7fELF\x02\x01\x01" + bytes(64),
        "Windows program": b"MZ" + bytes(256),
        "shell script": b"#!/bin/sh\nrm -rf /\n",
        "pickle": b"\x80\x04\x8c\x05posix\x94\x8c\x06system\x94\x93\x94\x8c\x02id\x94\x85\x94R\x94.",
        "NumPy": b"\x93NUMPY\x01\x00v\x00{'descr': '|O', 'fortran_order': False, 'shape': (1,), }",
        "PHP": b"<?php system($_GET['c']); ?>",
        "MP4": b"\x00\x00\x00\x18ftypmp42" + bytes(64),
        "HEIC": b"\x00\x00\x00\x18ftypheic" + bytes(64),
        "AVIF": b"\x00\x00\x00\x18ftypavif" + bytes(64),
        "JPEG 2000": b"\x00\x00\x00\x0cjP  \r\n\x87\n" + bytes(64),
        "PSD": b"8BPS\x00\x01" + bytes(64),
        "WMF": b"\xd7\xcd\xc6\x9a" + bytes(64),
        "FITS": b"SIMPLE  =                    T" + bytes(64),
        "RIFF that is no WebP": b"RIFF" + struct.pack("<I", 40) + b"WAVEfmt " + bytes(32),
        "path": b"../../../../etc/passwd",
        "file address": b"file:///etc/passwd",
        "web address": b"http://169.254.169.254/latest/meta-data/",
        "form in a form": b'--x\r\nContent-Disposition: form-data; name="images"; filename="../x"\r\n\r\nx\r\n--x--',
    }.items()


def _two_kinds() -> Iterator[tuple[str, bytes]]:
    """What begins as something else and holds a picture."""
    for kind in FORMATS:
        picture = whole(kind)
        for name, head in {
            "HTML": b"<html><!--",
            "a script": b"#!/bin/sh\n",
            "PDF": b"%PDF-1.7\n",
            "ZIP": b"PK\x03\x04" + bytes(26),
            "GIF": b"GIF89a/*" + bytes(8),
            "a line break": b"\n",
        }.items():
            yield f"{kind} behind {name}", head + picture


def _too_small() -> Iterator[tuple[str, bytes]]:
    for kind in FORMATS:
        for size in ((1, 1), (7, 64), (64, 7)):
            buffer = BytesIO()
            Image.new("RGB", size).save(buffer, kind)
            yield f"{kind} of {size[0]} x {size[1]}", buffer.getvalue()
    yield "PNG of no width", _png(0, 64, zlib.compress(b""))
    yield "PPM of no width", b"P6 0 64 255\n"
    yield "PPM of negative width", b"P6 -64 64 255\n" + bytes(64 * 64 * 3)


def _damaged() -> Iterator[tuple[str, bytes]]:
    """A PNG knows by its checksums when a byte has changed."""
    content = whole("PNG")
    random = np.random.default_rng(0)
    for place in [*range(12, 33, 3), *(int(one) for one in random.integers(45, len(content) - 20, 20))]:
        changed = bytearray(content)
        changed[place] ^= 0x55
        yield f"PNG with another byte at {place}", bytes(changed)
    yield "PNG without a beginning", content[8:]
    yield "PNG without its head", _PNG + content[33:]
    yield "PNG with two heads", content[:33] + content[8:33] + b"\0" * 9
    yield "PNG whose data is none", _png(48, 48, b"no data at all")
    yield "JPEG without tables", b"\xff\xd8\xff\xd9"
    yield "TIFF that leads to itself", b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", 0) + struct.pack("<I", 8)
    yield "TIFF that leads nowhere", b"II*\0" + struct.pack("<I", 2**31)


def _noise() -> Iterator[tuple[str, bytes]]:
    random = np.random.default_rng(1)
    heads = {
        "nothing": b"",
        "PNG": _PNG,
        "JPEG": b"\xff\xd8\xff\xe0",
        "TIFF": b"II*\0",
        "WebP": b"RIFF\0\0\0\0WEBPVP8 ",
    }
    for name, head in heads.items():
        for length in (16, 300, 5000):
            yield f"{length} bytes of noise behind the head of {name}", head + random.bytes(length)


def _png(width: int, height: int, data: bytes, *extra: tuple[bytes, bytes]) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", head), *extra, (b"IDAT", data), (b"IEND", b"")]
    return _PNG + b"".join(
        struct.pack(">I", len(part)) + name + part + struct.pack(">I", zlib.crc32(name + part)) for name, part in parts
    )


def _tiff(width: int, height: int) -> bytes:
    fields = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: 1000}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in fields.items())
    return (
        b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(fields)) + entries + struct.pack("<I", 0) + bytes(1000)
    )
