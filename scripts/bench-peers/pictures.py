"""From a camera's frame to a model's tensor, as one does it with OpenCV and NumPy.

Frames are 1920 x 1080, NV12: one array of 1620 rows. The fastest of the ways that were tried
is used: one float multiplication per plane into a tensor that is kept, which beats `cv2.dnn.blobFromImage`
and transposing in NumPy.
"""

import cv2
import numpy as np

WIDTH, HEIGHT = 1920, 1080
MEAN, STD = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)


class ToTensor:
    """Fills one tensor of `side` x `side`, letterboxed or stretched, again and again."""

    def __init__(self, side, letterbox, classifier):
        self.side = side
        self.height = round(side * HEIGHT / WIDTH) if letterbox else side
        self.above = (side - self.height) // 2
        self.tensor = np.zeros((1, 3, side, side), np.float32)
        self.factor = np.float32(1 / 255) / (STD if classifier else np.ones(3, np.float32))
        self.shift = MEAN / STD if classifier else np.zeros(3, np.float32)

    def nv12(self, frame):
        """The usual way: the whole picture to RGB, then its resize."""
        rgb = cv2.cvtColor(frame, cv2.COLOR_YUV2RGB_NV12)
        return self.pack(cv2.resize(rgb, (self.side, self.height), interpolation=cv2.INTER_LINEAR))

    def nv12_planes(self, frame):
        """The fast way: both planes resized, then only what is left to RGB."""
        luma = cv2.resize(frame[:HEIGHT], (self.side, self.height), interpolation=cv2.INTER_LINEAR)
        chroma = frame[HEIGHT:].reshape(HEIGHT // 2, WIDTH // 2, 2)
        chroma = cv2.resize(chroma, (self.side // 2, self.height // 2), interpolation=cv2.INTER_LINEAR)
        return self.pack(cv2.cvtColorTwoPlane(luma, chroma, cv2.COLOR_YUV2RGB_NV12))

    def pack(self, rgb):
        """Pads and normalises."""
        if self.height != self.side:
            below = self.side - self.height - self.above
            rgb = cv2.copyMakeBorder(rgb, self.above, below, 0, 0, cv2.BORDER_CONSTANT, value=(114, 114, 114))
        for channel, plane in enumerate(cv2.split(rgb)):
            out = self.tensor[0, channel]
            np.multiply(plane, self.factor[channel], out=out)
            if self.shift[channel]:
                out -= self.shift[channel]
        return self.tensor
