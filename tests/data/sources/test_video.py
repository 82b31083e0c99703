"""Decoding: the frames asked for, damage, bounds."""

import numpy as np
import pytest
from clip_files import HEIGHT, WIDTH, drift, write_clip

from coembed.data.sources import video
from coembed.data.sources.video import open_video, read_frames
from coembed.errors import PhotoError


def test_header_and_frames_come_back(tmp_path):
    frames = drift(10, speed=(3.0, 0.0))
    write_clip(tmp_path / "a.avi", frames, fps=12.5)
    clip = open_video(str(tmp_path / "a.avi"))
    assert (clip.count, clip.height, clip.width) == (10, HEIGHT, WIDTH)
    assert clip.fps == pytest.approx(12.5)
    read, decoded = read_frames(clip, {7, 2})
    assert sorted(read) == [2, 7]
    assert decoded == 8
    for n in (2, 7):
        assert read[n].dtype == np.uint8
        # Colour is stored coarsely by JPEG; the next frame, 3 px on, is farther.
        away = [np.abs(read[n][..., ::-1].astype(float) - frames[m]).mean() for m in (n, n + 1)]
        assert away[0] < 6 < away[1]


def test_larger_frames_are_reduced_and_smaller_ones_left(tmp_path):
    write_clip(tmp_path / "a.avi", drift(3))
    clip = open_video(str(tmp_path / "a.avi"))
    assert read_frames(clip, [0], WIDTH // 2)[0][0].shape == (HEIGHT // 2, WIDTH // 2, 3)
    assert read_frames(clip, [0], 10 * WIDTH)[0][0].shape == (HEIGHT, WIDTH, 3)


def test_a_truncated_file_gives_what_it_still_has(tmp_path):
    path = tmp_path / "a.avi"
    write_clip(path, drift(20))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    frames, decoded = read_frames(open_video(str(path)), range(20))
    assert 3 < decoded < 17
    assert len(frames) == decoded


@pytest.mark.parametrize("content", [b"", b"RIFF1234AVI nothing", b"no video at all" * 100])
def test_what_is_no_video_is_an_error_that_names_it(tmp_path, content):
    path = tmp_path / "broken.avi"
    path.write_bytes(content)
    with pytest.raises(PhotoError, match=r"broken\.avi"):
        open_video(str(path))


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(PhotoError, match=r"gone\.avi: no such file"):
        open_video(str(tmp_path / "gone.avi"))


def test_a_rate_can_be_given_and_nonsense_is_refused(tmp_path):
    write_clip(tmp_path / "a.avi", drift(3))
    assert open_video(str(tmp_path / "a.avi"), fps=30.0).fps == 30
    with pytest.raises(PhotoError, match="frames per second"):
        open_video(str(tmp_path / "a.avi"), fps=90_000.0)


def test_too_large_frames_are_refused_and_long_videos_cut(tmp_path, monkeypatch):
    write_clip(tmp_path / "a.avi", drift(20), fps=8.0)
    monkeypatch.setattr(video, "MAX_SECONDS", 2.0)
    assert open_video(str(tmp_path / "a.avi")).count == 16
    monkeypatch.setattr(video, "MAX_FRAME_PIXELS", 100)
    with pytest.raises(PhotoError, match=rf"{WIDTH} x {HEIGHT}"):
        open_video(str(tmp_path / "a.avi"))
