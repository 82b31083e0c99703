"""Folders of small photos, made anew for each test; makes ``clip_files.py`` importable."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def photos(tmp_path):
    """A function that fills a folder with n JPEGs of odd sizes and returns it."""

    def make(n, folder="photos", first=0):
        where = tmp_path / folder
        where.mkdir(parents=True, exist_ok=True)
        for i in range(first, first + n):
            generator = np.random.default_rng(i)
            coarse = generator.integers(0, 256, (5, 6, 3), dtype=np.uint8)
            Image.fromarray(coarse).resize((41 + i % 7, 37)).save(where / f"photo-{i:03d}.jpg")
        return where

    return make
