"""Small frames of every format and flavour: what the golden files are made of."""

import io
import struct
import zlib
from typing import Any

import DracoPy
import numpy as np
import numpy.typing as npt
from PIL import Image

__all__ = ["cloud", "depth_values", "make_samples", "pack_lzf", "pcd", "picture", "ply", "png_chunk"]

Array = npt.NDArray[Any]


def picture(width: int = 96, height: int = 64) -> Image.Image:
    """A smooth picture in all colours."""
    y, x = np.mgrid[0:height, 0:width]
    channels = [x * 255 // width, y * 255 // height, (x * 3 + y * 2) % 256]
    return Image.fromarray(np.stack(channels, axis=2).astype(np.uint8))


def depth_values(width: int = 96, height: int = 64) -> npt.NDArray[np.uint16]:
    """Millimetres: a floor that comes nearer downwards, a box before it, and a corner where nothing came back."""
    values = np.repeat(np.linspace(4000, 800, height), width).reshape(height, width).astype(np.uint16)
    values[height // 4 : height // 2, width // 3 : width // 2] = 700
    values[: height // 4, : width // 4] = 0
    return values


def cloud(points: int = 60) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    """Points on a spiral with a colour each."""
    t = np.linspace(0, 6 * np.pi, points)
    xyz = np.stack([np.cos(t) * t, np.sin(t) * t, t / 2], axis=1).astype("<f4")
    rgb = np.stack([t * 12, 255 - t * 12, t * 0 + 90], axis=1).astype(np.uint8)
    return xyz, rgb


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk of PNG with its length and checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def ply(encoding: str = "binary_little_endian", *, faces: bool = False) -> bytes:
    """A coloured cloud as PLY; with faces, triangles and squares mixed, two each."""
    xyz, rgb = cloud()
    lines = ["ply", f"format {encoding} 1.0", "comment made for tests", f"element vertex {len(xyz)}"]
    lines += [f"property float {axis}" for axis in "xyz"] + [
        f"property uchar {name}" for name in ("red", "green", "blue")
    ]
    corners = [[0, 1, 2], [2, 3, 4], [4, 5, 6, 7], [0, 2, 4, 6], [1, 2, 3]] if faces else []
    if faces:
        lines += [f"element face {len(corners)}", "property list uchar int vertex_indices"]
    header = "\n".join([*lines, "end_header\n"]).encode()
    if encoding == "ascii":
        rows = [f"{x:.5f} {y:.5f} {z:.5f} {r} {g} {b}" for (x, y, z), (r, g, b) in zip(xyz, rgb, strict=True)]
        rows += [" ".join(str(n) for n in [len(c), *c]) for c in corners]
        return header + ("\n".join(rows) + "\n").encode()
    order = "<" if "little" in encoding else ">"
    rows = np.zeros(len(xyz), [("xyz", f"{order}f4", 3), ("rgb", "u1", 3)])
    rows["xyz"], rows["rgb"] = xyz, rgb
    return header + rows.tobytes() + b"".join(struct.pack(f"{order}B{len(c)}i", len(c), *c) for c in corners)


def pcd(encoding: str = "binary", *, width: int = 12, height: int = 5) -> bytes:
    """An organised coloured cloud as PCD; its first point is NaN, as a camera writes what it did not see."""
    xyz, rgb = cloud(width * height)
    xyz = xyz.copy()
    xyz[0] = np.nan
    packed = (rgb[:, 0].astype("<u4") << 16) | (rgb[:, 1].astype("<u4") << 8) | rgb[:, 2]
    header = (
        "# .PCD v0.7 - Point Cloud Data file format\nVERSION 0.7\nFIELDS x y z rgb\nSIZE 4 4 4 4\nTYPE F F F U\n"
        f"COUNT 1 1 1 1\nWIDTH {width}\nHEIGHT {height}\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS {width * height}\nDATA {encoding}\n"
    ).encode()
    if encoding == "ascii":
        rows = [f"{x:.5f} {y:.5f} {z:.5f} {c}" for (x, y, z), c in zip(xyz, packed, strict=True)]
        return header + ("\n".join(rows) + "\n").encode()
    if encoding == "binary":
        body = np.zeros(len(xyz), [("xyz", "<f4", 3), ("rgb", "<u4")])
        body["xyz"], body["rgb"] = xyz, packed
        return header + body.tobytes()
    columns = np.ascontiguousarray(xyz.T).tobytes() + packed.tobytes()
    small = pack_lzf(columns)
    return header + struct.pack("<II", len(small), len(columns)) + small


def pack_lzf(data: bytes) -> bytes:
    """LZF: literals, and copies of what stands up to 8 KiB before."""
    out, literals, at = bytearray(), bytearray(), 0

    def flush() -> None:
        for start in range(0, len(literals), 32):
            part = literals[start : start + 32]
            out.extend([len(part) - 1, *part])
        literals.clear()

    while at < len(data):
        found = data.rfind(data[at : at + 3], max(0, at - 8192), at + 2) if at + 3 <= len(data) else -1
        if found < 0:
            literals.append(data[at])
            at += 1
            continue
        length = 3
        while at + length < len(data) and length < 264 and data[found + length] == data[at + length]:
            length += 1
        flush()
        distance = at - found - 1
        code = length - 2
        out.extend([(min(code, 7) << 5) | distance >> 8, *([code - 7] if code >= 7 else []), distance & 255])
        at += length
    flush()
    return bytes(out)


def make_samples() -> dict[str, bytes]:
    """Every sample by file name."""
    return _pictures() | _depths() | _clouds()


def _pictures() -> dict[str, bytes]:
    rgb = picture()
    alpha = rgb.copy()
    alpha.putalpha(Image.fromarray((np.mgrid[0:64, 0:96][1] * 255 // 96).astype(np.uint8)))
    opaque = rgb.convert("RGBA")
    turned = Image.Exif()
    turned[0x0112] = 6
    return {
        "rgb.jpg": _save(rgb, "JPEG", quality=85),
        "progressive.jpg": _save(rgb, "JPEG", progressive=True),
        "grey.jpg": _save(rgb.convert("L"), "JPEG"),
        "cmyk.jpg": _save(rgb.convert("CMYK"), "JPEG"),
        "turned.jpg": _save(rgb, "JPEG", exif=turned),
        "large.jpg": _save(picture(1280, 720), "JPEG", quality=30),
        "rgb.png": _save(rgb, "PNG"),
        "alpha.png": _save(alpha, "PNG"),
        "opaque.png": _save(opaque, "PNG"),
        "palette.png": _save(rgb.quantize(16), "PNG"),
        "bits.png": _save(rgb.convert("1"), "PNG"),
        "lossy.webp": _save(rgb, "WEBP", quality=60),
        "lossless_alpha.webp": _save(alpha, "WEBP", lossless=True),
        "animated.webp": _save(rgb, "WEBP", save_all=True, append_images=[rgb.rotate(90)], duration=40),
        "rgb.tif": _save(rgb, "TIFF"),
        "lzw.tif": _save(rgb, "TIFF", compression="tiff_lzw"),
        "big.tif": _save(rgb, "TIFF", big_tiff=True),
        "rgb.avif": _save(rgb, "AVIF", quality=60),
        "alpha.avif": _save(alpha, "AVIF", quality=60),
    }


def _depths() -> dict[str, bytes]:
    depth = depth_values()
    big_endian = Image.frombytes("I;16B", (96, 64), depth.astype(">u2").tobytes())
    return {
        "depth.png": _save(Image.fromarray(depth), "PNG"),
        "depth.tif": _save(Image.fromarray(depth), "TIFF", compression="tiff_deflate"),
        "depth_big_endian.tif": _save(big_endian, "TIFF"),
        "metres.tif": _save(Image.fromarray((depth / 1000).astype(np.float32)), "TIFF"),
    }


def _clouds() -> dict[str, bytes]:
    xyz, rgb = cloud()
    faces = np.array([[0, 1, 2], [2, 3, 4]], np.uint32)
    return {
        "little.ply": ply(),
        "big_faces.ply": ply("binary_big_endian", faces=True),
        "ascii_faces.ply": ply("ascii", faces=True),
        "ascii.pcd": pcd("ascii"),
        "binary.pcd": pcd("binary"),
        "compressed.pcd": pcd("binary_compressed"),
        "kd_tree.drc": DracoPy.encode(xyz, colors=rgb),
        "sequential.drc": DracoPy.encode(xyz, colors=rgb, preserve_order=True),
        "metadata.drc": DracoPy.encode(xyz, generic_attributes={"heat": rgb[:, :1]}, preserve_order=True),
        "mesh.drc": DracoPy.encode(xyz, faces, colors=rgb),
    }


def _save(image: Image.Image, name: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, name, **options)
    return buffer.getvalue()
