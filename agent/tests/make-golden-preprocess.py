#!/usr/bin/env python3
"""Makes golden/preprocess: what OpenCV makes of small pictures in every format, for tests/preprocess/.

    python -m venv V
    V/bin/pip install opencv-python-headless numpy pillow
    V/bin/python make-golden-preprocess.py

cases.json lists the cases; cases.bin holds, one after the other, the bytes of each distinct input picture
and each expected tensor. Expected tensors are bytes, row by row, pixel by pixel, before normalisation
(OpenCV's own precision); one case is normalised by numpy, as 32-bit floats. Pictures are drawn here from a
fixed seed, nothing comes from outside. Made with OpenCV 5.0.0, numpy 2.4, Pillow 12.
"""

import io
import json
import pathlib

import cv2
import numpy as np
from PIL import Image

FOLDER = pathlib.Path(__file__).parent / "golden" / "preprocess"
PAD = 114
WIDTH, HEIGHT = 61, 43
LARGE = 248, 176
SAMPLINGS = ("411", "420", "422", "440", "444")


def picture(width, height):
    """Slow gradients, a disc, a bar and a little noise: RGB."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    red = 40 + 170 * x / width
    green = 200 - 150 * y / height
    blue = 128 + 90 * np.sin((x + 2 * y) * 3.6 / width)
    rgb = np.stack([red, green, blue], axis=-1)
    rgb[(x - width / 3) ** 2 + (y - height / 2) ** 2 < (height / 5) ** 2] = (220, 60, 40)
    rgb[:, int(width * 0.7) : int(width * 0.75)] = (30, 70, 190)
    return byte(rgb + rng.normal(0, 3, rgb.shape))


def byte(plane):
    return np.clip(np.rint(plane), 0, 255).astype(np.uint8)


def factors(matrix, limited):
    """Luma weights of red, green, blue; how much of the byte luma and chroma use."""
    red, blue = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722)}[matrix]
    return red, 1 - red - blue, blue, 219 / 255 if limited else 1, 224 / 255 if limited else 1


def to_yuv(rgb, matrix, limited):
    """Luma and chroma planes in full size, as floats."""
    kr, kg, kb, scale_y, scale_c = factors(matrix, limited)
    r, g, b = (rgb[..., i].astype(np.float64) for i in range(3))
    luma = kr * r + kg * g + kb * b
    u = (b - luma) / (2 * (1 - kb)) * scale_c + 128
    v = (r - luma) / (2 * (1 - kr)) * scale_c + 128
    return luma * scale_y + (16 if limited else 0), u, v


def to_rgb(y, u, v, matrix, limited):
    """For what OpenCV has no conversion: planes in full size to RGB, by the definition."""
    kr, kg, kb, scale_y, scale_c = factors(matrix, limited)
    y = (y.astype(np.float64) - (16 if limited else 0)) / scale_y
    u, v = ((c.astype(np.float64) - 128) / scale_c for c in (u, v))
    r, b = y + 2 * (1 - kr) * v, y + 2 * (1 - kb) * u
    return byte(np.stack([r, (y - kr * r - kb * b) / kg, b], axis=-1))


def halve(plane, down):
    """Means of 2 x 2 blocks, or of 2 x 1; the last column and row stand for themselves."""
    h, w = plane.shape
    plane = np.pad(plane, ((0, h % 2 if down else 0), (0, w % 2)), mode="edge")
    plane = (plane[:, 0::2] + plane[:, 1::2]) / 2
    return (plane[0::2] + plane[1::2]) / 2 if down else plane


def widen(plane, down, width, height):
    plane = np.repeat(plane, 2, axis=1)
    plane = np.repeat(plane, 2, axis=0) if down else plane
    return plane[:height, :width]


def encode(rgb, name, matrix="bt601", limited=True):
    """The picture's bytes in a format, and what OpenCV decodes them to."""
    h, w = rgb.shape[:2]
    if name == "rgb":
        return rgb.tobytes(), rgb
    if name == "bgr":
        return rgb[..., ::-1].tobytes(), rgb
    if name == "grey":
        grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
        return grey.tobytes(), cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)
    down = name != "yuyv"
    y, u, v = to_yuv(rgb, matrix, limited)
    y, u, v = byte(y), byte(halve(u, down)), byte(halve(v, down))
    # OpenCV takes even sizes only: one more column and row, cut off again afterwards.
    even = np.pad(y, ((0, h % 2 if down else 0), (0, w % 2)), mode="edge")
    eh, ew = even.shape
    if name == "nv12":
        uv = np.stack([u, v], axis=-1)
        data = y.tobytes() + uv.tobytes()
        whole = np.vstack([even, uv.reshape(eh // 2, ew)])
        decoded = cv2.cvtColor(whole, cv2.COLOR_YUV2RGB_NV12)
    elif name == "i420":
        data = y.tobytes() + u.tobytes() + v.tobytes()
        whole = np.concatenate([even.ravel(), u.ravel(), v.ravel()]).reshape(eh * 3 // 2, ew)
        decoded = cv2.cvtColor(whole, cv2.COLOR_YUV2RGB_I420)
    else:
        whole = np.stack([even[:, 0::2], u, even[:, 1::2], v], axis=-1)
        data = whole.tobytes()
        decoded = cv2.cvtColor(whole.reshape(h, ew, 2), cv2.COLOR_YUV2RGB_YUY2)
    if matrix != "bt601" or not limited:
        decoded = to_rgb(y, widen(u, down, w, h), widen(v, down, w, h), matrix, limited)
    return data, decoded[:h, :w]


def fit(rgb, how, width, height):
    """Into the tensor; sizes and offsets as in Ultralytics' letterbox(auto=False)."""
    h, w = rgb.shape[:2]
    across, down = width / w, height / h
    ratio = {"stretch": None, "letterbox": min(across, down), "crop": max(across, down)}[how]
    new = (width, height) if ratio is None else (round(w * ratio), round(h * ratio))
    out = cv2.resize(rgb, new, interpolation=cv2.INTER_LINEAR)
    if how == "letterbox":
        dw, dh = (width - new[0]) / 2, (height - new[1]) / 2
        edges = round(dh - 0.1), round(dh + 0.1), round(dw - 0.1), round(dw + 0.1)
        out = cv2.copyMakeBorder(out, *edges, cv2.BORDER_CONSTANT, value=(PAD, PAD, PAD))
    elif how == "crop":
        left, top = (new[0] - width) // 2, (new[1] - height) // 2
        out = out[top : top + height, left : left + width]
    return np.ascontiguousarray(out)


def channels(rgb, name):
    if name == "grey":
        return cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    return rgb if name == "rgb" else np.ascontiguousarray(rgb[..., ::-1])


class Store:
    def __init__(self):
        self.blob, self.seen, self.cases = bytearray(), {}, []

    def put(self, data):
        if data not in self.seen:
            self.seen[data] = len(self.blob)
            self.blob += data
        return [self.seen[data], len(data)]

    def case(self, name, format, size, made, how, tensor, order, **more):
        data, decoded = made
        expected = channels(fit(decoded, how, *tensor), order)
        if "scale" in more:
            mean, std = (np.array(more[key], np.float32) for key in ("mean", "std"))
            expected = ((expected * np.float32(more["scale"]) - mean) / std).astype(np.float32)
        self.cases.append(
            {
                "name": name,
                "format": format,
                "picture": size,
                "matrix": "bt601",
                "limited": True,
                "fit": how,
                "tensor": tensor,
                "channels": order,
                **more,
                "input": self.put(data),
                "expected": self.put(expected.tobytes()),
            }
        )


def raw(store):
    rgb, size = picture(WIDTH, HEIGHT), (WIDTH, HEIGHT)
    fits = [
        ("letterbox", (48, 48), "rgb"),
        ("stretch", (37, 29), "grey"),
        ("crop", (31, 40), "bgr"),
        ("letterbox", (64, 75), "rgb"),
    ]
    for format in ("nv12", "i420", "yuyv", "rgb", "bgr", "grey"):
        made = encode(rgb, format)
        for how, tensor, order in fits:
            name = f"{format} {how} {tensor[0]}x{tensor[1]} {order}"
            store.case(name, format, size, made, how, tensor, order)
    for matrix, limited in (("bt601", False), ("bt709", True), ("bt709", False)):
        made = encode(rgb, "nv12", matrix, limited)
        name = f"nv12 {matrix} {'limited' if limited else 'full'}"
        colour = {"matrix": matrix, "limited": limited}
        store.case(name, "nv12", size, made, "stretch", (37, 29), "rgb", **colour)
    normal = {"scale": 1 / 255, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    made = encode(rgb, "nv12")
    store.case("nv12 normalised", "nv12", size, made, "letterbox", (32, 32), "rgb", **normal)


def jpeg(store):
    small, large = picture(WIDTH, HEIGHT), picture(*LARGE)

    def file(rgb, sampling, progressive=0, quality=92):
        options = [
            cv2.IMWRITE_JPEG_QUALITY,
            quality,
            cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
            getattr(cv2, f"IMWRITE_JPEG_SAMPLING_FACTOR_{sampling}"),
            cv2.IMWRITE_JPEG_PROGRESSIVE,
            progressive,
        ]
        return cv2.imencode(".jpg", np.ascontiguousarray(rgb[..., ::-1]), options)[1]

    def made(data, flag=cv2.IMREAD_COLOR):
        return data.tobytes(), np.ascontiguousarray(cv2.imdecode(data, flag)[..., ::-1])

    size = (WIDTH, HEIGHT)
    for sampling in SAMPLINGS:
        data = made(file(small, sampling))
        store.case(f"jpeg {sampling}", "mjpeg", size, data, "stretch", (50, 40), "rgb")
    data = made(file(small, "420", progressive=1))
    store.case("jpeg progressive", "mjpeg", size, data, "letterbox", (50, 40), "bgr")
    data = made(cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2GRAY))[1])
    store.case("jpeg of grey", "mjpeg", size, data, "stretch", (50, 40), "rgb")
    rgb_file = io.BytesIO()
    Image.fromarray(small).save(rgb_file, "JPEG", quality=90, keep_rgb=True)
    data = made(np.frombuffer(rgb_file.getvalue(), np.uint8))
    store.case("jpeg of rgb planes", "mjpeg", size, data, "stretch", (50, 40), "rgb")
    # Decoded at a fraction: OpenCV has the same way of doing so, when told.
    size, data = LARGE, file(large, "420", quality=80)
    fractions = (2, (64, 50), "rgb"), (4, (50, 40), "grey"), (8, (30, 25), "grey")
    for denominator, tensor, order in fractions:
        reduced = made(data, getattr(cv2, f"IMREAD_REDUCED_COLOR_{denominator}"))
        name = f"jpeg decoded at 1/{denominator}"
        store.case(name, "mjpeg", size, reduced, "letterbox", tensor, order)


def main():
    store = Store()
    raw(store)
    jpeg(store)
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "cases.bin").write_bytes(store.blob)
    lines = ",\n".join(json.dumps(case) for case in store.cases)
    (FOLDER / "cases.json").write_text(f"[\n{lines}\n]\n")
    cmyk = Image.fromarray(picture(16, 16)).convert("CMYK")
    file = io.BytesIO()
    cmyk.save(file, "JPEG", quality=50)
    (FOLDER / "cmyk.jpg").write_bytes(file.getvalue())
    print(len(store.cases), "cases,", len(store.blob), "bytes")


if __name__ == "__main__":
    main()
