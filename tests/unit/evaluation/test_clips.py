import cv2
import numpy as np
import pytest

from colormnet.errors import InputError
from colormnet.evaluation.clips import ClipSource, Size, find_clips, read_clip, to_uint8


def write_frames(folder, frames, first=1, name="frame"):
    folder.mkdir(parents=True, exist_ok=True)
    for number, frame in enumerate(frames, start=first):
        assert cv2.imwrite(str(folder / f"{name}.{number:04d}.png"), frame[..., ::-1])
    return folder


def test_frames_come_back_to_the_last_bit(tmp_path, paint):
    frames = [paint(32, 48, seed=index) for index in range(3)]
    clip = read_clip(ClipSource("a", str(write_frames(tmp_path / "a", frames, first=1001))), None)
    assert np.array_equal(clip.truth, np.stack(frames))
    assert clip.numbers == [1001, 1002, 1003]
    assert clip.size == clip.original == Size(48, 32)


def test_frames_are_reduced_by_averaging_areas(tmp_path):
    checks = np.indices((32, 64)).sum(axis=0) % 2 * 200
    frame = np.repeat(checks[..., None], 3, axis=2).astype(np.uint8)
    clip = read_clip(ClipSource("a", str(write_frames(tmp_path / "a", [frame, frame]))), Size(32, 16))
    assert clip.truth.shape == (2, 16, 32, 3)
    assert np.all(clip.truth == 100)
    assert clip.original == Size(64, 32)


def test_a_limit_takes_the_first_frames(tmp_path, paint):
    folder = write_frames(tmp_path / "a", [paint(32, 48, seed=index) for index in range(5)])
    assert read_clip(ClipSource("a", str(folder)), None, limit=3).numbers == [1, 2, 3]


def test_one_frame_is_no_clip(tmp_path, paint):
    write_frames(tmp_path / "a", [paint(32, 48)])
    with pytest.raises(InputError, match="at least two"):
        read_clip(ClipSource("a", str(tmp_path / "a" / "frame.####.png")), None)


def test_folders_of_frames_and_movies_are_found_side_by_side(tmp_path, paint):
    frames = [paint(32, 48)] * 2
    write_frames(tmp_path / "set" / "b", frames)
    write_frames(tmp_path / "set" / "a", frames)
    (tmp_path / "set" / "c.mp4").write_bytes(b"")
    (tmp_path / "set" / "notes.txt").write_text("not a clip")
    write_frames(tmp_path / "set" / ".hidden", frames)
    assert [clip.name for clip in find_clips([tmp_path / "set"])] == ["a", "b", "c"]
    assert [clip.name for clip in find_clips([tmp_path / "set" / "a"])] == ["a"]
    assert [clip.name for clip in find_clips([tmp_path / "set" / "a" / "frame.####.png"])] == ["a"]


def test_clips_of_one_name_are_refused(tmp_path, paint):
    for place in ("one", "two"):
        write_frames(tmp_path / place / "shot", [paint(32, 48)] * 2)
    with pytest.raises(InputError, match="Two clips are called 'shot'"):
        find_clips([tmp_path / "one", tmp_path / "two"])


def test_what_is_no_clip_is_named(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.txt").write_text("")
    with pytest.raises(InputError, match="holds neither frames"):
        find_clips([tmp_path / "empty"])
    with pytest.raises(InputError, match="no clip at"):
        find_clips([tmp_path / "absent"])
    with pytest.raises(InputError, match="is not a movie"):
        find_clips([tmp_path / "text.txt"])
    with pytest.raises(InputError, match="No clip was named"):
        find_clips([])


@pytest.mark.parametrize("text", ["416", "416x", "ax240", "416x240x3", "8x8", "-416x240"])
def test_a_size_that_makes_no_sense_is_refused(text):
    with pytest.raises(InputError, match="size"):
        Size.parse(text)


def test_sizes_are_parsed():
    assert Size.parse("416x240") == Size(416, 240)
    assert Size.parse("native") is None


def test_rounding_is_to_the_nearest_level_inside_the_range():
    levels = np.array([[[-1.0, 0.5 / 255 - 1e-6, 0.5 / 255 + 1e-6], [2.0, np.nan, 254.4 / 255]]], np.float32)
    assert to_uint8(levels).tolist() == [[[0, 0, 1], [255, 0, 254]]]
