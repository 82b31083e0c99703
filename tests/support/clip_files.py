"""Synthetic clips: a blurred random texture that drifts at a known speed, as MJPG in AVI."""

from pathlib import Path

import cv2
import numpy as np

HEIGHT, WIDTH = 72, 96


def texture(height, width, seed=0):
    noise = np.random.default_rng(seed).random((height, width, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3)
    return ((smooth - smooth.min()) / (smooth.max() - smooth.min()) * 255).astype(np.uint8)


def drift(frames, speed=(1.0, 0.5), seed=0, size=(HEIGHT, WIDTH)):
    """Frames (BGR) of a texture that moves by ``speed`` = (right, down) pixels per frame."""
    h, w = size
    large = texture(3 * h, 3 * w, seed)
    shifts = [np.array([[1, 0, k * speed[0] - w], [0, 1, k * speed[1] - h]]) for k in range(frames)]
    return [cv2.warpAffine(large, shift, (w, h), flags=cv2.INTER_LINEAR) for shift in shifts]


def write_clip(path: Path, frames, fps=8.0):
    path.parent.mkdir(parents=True, exist_ok=True)
    h, w = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), fps, (w, h))
    assert writer.isOpened()
    for frame in frames:
        writer.write(frame)
    writer.release()


def write_ucf101(root: Path, train, test, *, listed_only=()):
    """The layout of UCF101 with drifting clips; names as ``Archery_g01_c01``."""
    lists = root / "ucfTrainTestlist"
    lists.mkdir(parents=True)
    (root / "UCF-101").mkdir()
    classes = sorted({name.split("_")[0] for name in (*train, *test)})
    (lists / "classInd.txt").write_text("".join(f"{i} {name}\n" for i, name in enumerate(classes, 1)))
    for side, names in (("train", train), ("test", test)):
        paths = [f"{name.split('_')[0]}/v_{name}.avi" for name in names]
        label = " 1" if side == "train" else ""
        (lists / f"{side}list01.txt").write_text("".join(f"{p}{label}\r\n" for p in paths))
        for seed, (name, path) in enumerate(zip(names, paths, strict=True)):
            if name not in listed_only:
                write_clip(root / "UCF-101" / path, drift(14, seed=seed))
