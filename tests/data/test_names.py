import torch

from coembed.data.names import (
    action_of,
    clip_of,
    frame_name,
    groups_of,
    is_whole,
    scene_of,
    view_name,
    whole_of,
)
from coembed.data.store.store import PairStore
from coembed.training.run import split_pairs


def test_views_of_a_photo_and_clips_of_a_video_are_one_group():
    names = [
        "a.jpg",
        "a.jpg#1",
        "b.jpg#12",
        "photo@2x.jpg",
        "c@3.jpg",
        "v_Run_g01_c01.avi@0",
        "v_Run_g01_c02.avi@7#3",
    ]
    assert groups_of(names) == [0, 0, 1, 2, 3, 4, 4]


def test_frames_of_a_single_clip_are_told_apart():
    assert groups_of(["clip.mp4@0", "clip.mp4@0#1", "clip.mp4@1", "clip.mp4@2"]) == [0, 0, 1, 2]


def test_views_of_a_photo_are_held_out_together(tmp_path):
    names = [f"{i}.jpg" + (f"#{v}" if v else "") for i in range(40) for v in range(3)]
    fields = torch.arange(120.0).view(-1, 1, 1, 1).expand(-1, 1, 8, 8)
    PairStore.from_arrays(fields, fields, names=names).save(tmp_path)
    train, validation = split_pairs(PairStore.open(tmp_path), tmp_path, 1000)
    assert (len(train), len(validation)) == (96, 24)
    sides = [{int(row) // 3 for row in part.field(slice(None))[:, 0, 0, 0]} for part in (train, validation)]
    assert sides[0].isdisjoint(sides[1])


def test_a_name_says_what_it_shows():
    name = view_name(frame_name("Dive/v_Dive_g01_c02.avi", 3), 1)
    assert name == "Dive/v_Dive_g01_c02.avi@3#1" and view_name("a.jpg", 0) == "a.jpg"
    assert whole_of(name) == "Dive/v_Dive_g01_c02.avi@3" and not is_whole(name) and is_whole(whole_of(name))
    assert clip_of(name) == "Dive/v_Dive_g01_c02.avi" and scene_of(name) == "Dive/v_Dive_g01"
    assert action_of(name) == "Dive" and action_of("a_g01.jpg#1") is None
