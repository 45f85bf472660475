"""Pictures as the agent sees them: letterbox, NV12 and back, PNG. NumPy only.

`letterbox` is the reference of the shapes detector's preprocess: bilinear at pixel centres without
antialias (the arithmetic of OpenCV's INTER_LINEAR), sizes and offsets of the usual `auto=False` letterbox.
"""

import struct
import zlib

import numpy as np

SIDE = 320
PAD = 114


def place(width, height, side=SIDE):
    """Where a picture lies in the square: (scale, new width, new height, left, top)."""
    scale = min(side / width, side / height)
    new_w, new_h = int(round(width * scale)), int(round(height * scale))
    left = int(round((side - new_w) / 2 - 0.1))
    top = int(round((side - new_h) / 2 - 0.1))
    return scale, new_w, new_h, left, top


def _taps(size, new):
    """Two source indices and the weight of the second, for each of `new` samples."""
    at = (np.arange(new) + 0.5) * (size / new) - 0.5
    first = np.floor(at).astype(np.int64)
    weight = (at - first).astype(np.float32)
    return np.clip(first, 0, size - 1), np.clip(first + 1, 0, size - 1), weight


def resize(picture, new_w, new_h):
    """Bilinear, uint8 HxWx3 in and out."""
    height, width = picture.shape[:2]
    if (width, height) == (new_w, new_h):
        return picture
    x0, x1, wx = _taps(width, new_w)
    y0, y1, wy = _taps(height, new_h)
    wx, wy = wx[None, :, None], wy[:, None, None]
    top, bottom = picture[y0], picture[y1]
    upper = top[:, x0] * (1 - wx) + top[:, x1] * wx
    lower = bottom[:, x0] * (1 - wx) + bottom[:, x1] * wx
    return np.clip(np.rint(upper * (1 - wy) + lower * wy), 0, 255).astype(np.uint8)


def letterbox(picture, side=SIDE):
    """The picture in a grey square, uint8 side x side x 3, and (scale, left, top)."""
    height, width = picture.shape[:2]
    scale, new_w, new_h, left, top = place(width, height, side)
    out = np.full((side, side, 3), PAD, np.uint8)
    out[top:top + new_h, left:left + new_w] = resize(picture, new_w, new_h)
    return out, (scale, left, top)


def tensor(square):
    """uint8 HxWx3 RGB to float32 1x3xHxW, 0 to 1."""
    return np.ascontiguousarray(square.transpose(2, 0, 1)[None], np.float32) / np.float32(255)


def nv12_round_trip(picture):
    """RGB to BT.601 limited-range 4:2:0 (chroma: mean of 2x2) and back, chroma repeated."""
    height, width = picture.shape[:2]
    even = picture[:height - height % 2, :width - width % 2].astype(np.float32)
    red, green, blue = even[..., 0], even[..., 1], even[..., 2]
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    h2, w2 = even.shape[0] // 2, even.shape[1] // 2
    block = lambda plane: plane.reshape(h2, 2, w2, 2).mean(axis=(1, 3))
    mean = block(luma)
    y = np.rint(16 + luma * (219 / 255))
    u = np.rint(128 + (block(blue) - mean) * (224 / 255 / 1.772))
    v = np.rint(128 + (block(red) - mean) * (224 / 255 / 1.402))
    y = (y - 16) * (255 / 219)
    u = np.repeat(np.repeat((u - 128) * (255 / 224), 2, 0), 2, 1)
    v = np.repeat(np.repeat((v - 128) * (255 / 224), 2, 0), 2, 1)
    out = picture.copy()
    back = np.stack([y + 1.402 * v, y - 0.344136 * u - 0.714136 * v, y + 1.772 * u], axis=-1)
    out[:even.shape[0], :even.shape[1]] = np.clip(np.rint(back), 0, 255).astype(np.uint8)
    return out


def write_png(path, picture):
    """Writes an 8-bit RGB PNG, no filter."""
    height, width = picture.shape[:2]
    rows = np.zeros((height, 1 + width * 3), np.uint8)
    rows[:, 1:] = picture.reshape(height, -1)
    chunk = lambda kind, body: (struct.pack(">I", len(body)) + kind + body
                                + struct.pack(">I", zlib.crc32(kind + body)))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head)
                     + chunk(b"IDAT", zlib.compress(rows.tobytes(), 9)) + chunk(b"IEND", b""))


def read_png(path):
    """Reads what `write_png` wrote (8-bit RGB, no filter); anything else is refused."""
    data = path.read_bytes()
    at, body, size = 8, b"", None
    while at < len(data):
        (length,), kind = struct.unpack(">I", data[at:at + 4]), data[at + 4:at + 8]
        part = data[at + 8:at + 8 + length]
        if kind == b"IHDR":
            width, height, *rest = struct.unpack(">IIBBBBB", part)
            if rest != [8, 2, 0, 0, 0]:
                raise ValueError(f"{path}: not a plain 8-bit RGB PNG")
            size = (height, width)
        elif kind == b"IDAT":
            body += part
        at += 12 + length
    rows = np.frombuffer(zlib.decompress(body), np.uint8).reshape(size[0], 1 + size[1] * 3)
    if rows[:, 0].any():
        raise ValueError(f"{path}: has filtered rows")
    return rows[:, 1:].reshape(size[0], size[1], 3)
