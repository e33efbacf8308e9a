import pytest
from hypothesis import given
from hypothesis import strategies as st

from colormnet.errors import InputError
from colormnet.media.notation import find_sequence, frames_text, parse_frames, parse_pattern


@pytest.mark.parametrize(
    "text", ["shots/p.####.exr", "shots/p.%04d.exr", "shots/p.$F4.exr", "shots/p.@@@@.exr", "shots/p.1-9####.exr"]
)
def test_every_notation_names_the_same_file(text):
    pattern = parse_pattern(text)
    assert str(pattern.path(7)) == "shots/p.0007.exr"
    assert str(pattern.path(12345)) == "shots/p.12345.exr"
    assert str(pattern.path(-5)) == "shots/p.-0005.exr"


@pytest.mark.parametrize(("text", "name"), [("p_#.png", "p_7.png"), ("$F.exr", "7.exr"), ("p.%d.dpx", "p.7.dpx")])
def test_unpadded(text, name):
    assert parse_pattern(text).path(7).name == name


@pytest.mark.parametrize("text", ["p.<UDIM>.exr", "p.####.%04d.exr", "plain.exr"])
def test_patterns_that_are_none(text):
    with pytest.raises(InputError):
        parse_pattern(text)


@pytest.mark.parametrize(
    ("text", "frames"),
    [
        ("5", [5]),
        ("1001-1004", [1001, 1002, 1003, 1004]),
        ("1001-1010x3", [1001, 1004, 1007, 1010]),
        ("8, 1-3, 2", [1, 2, 3, 8]),
        ("-2-1", [-2, -1, 0, 1]),
        ("3-1", [1, 2, 3]),
        ([7, 3, 3], [3, 7]),
        (None, None),
    ],
)
def test_ranges(text, frames):
    assert parse_frames(text) == frames


@pytest.mark.parametrize(
    "text", ["1-10:2", "1-10y2", "a", "1-", "1-5x0", "", "1.5", "1-10x", "1--", "1001-1100x2x3", []]
)
def test_what_is_no_range(text):
    with pytest.raises(InputError) as caught:
        parse_frames(text)
    assert "\n" not in str(caught.value)
    assert "1001-1100" in str(caught.value) or "step" in str(caught.value)


@given(st.sets(st.integers(-50, 3000), min_size=1, max_size=30))
def test_ranges_survive_being_written(frames):
    assert parse_frames(frames_text(sorted(frames))) == sorted(frames)


def touch(folder, *names):
    for name in names:
        (folder / name).touch()
    return folder


def test_files_on_disk_by_padding(tmp_path):
    touch(tmp_path, "p.0001.exr", "p.0002.exr", "p.10000.exr", "p.00003.exr", "p.7.exr", "q.0009.exr", "p.0004.exr.bak")
    assert parse_pattern(f"{tmp_path}/p.####.exr").on_disk() == [1, 2, 10000]
    assert parse_pattern(f"{tmp_path}/p.#.exr").on_disk() == [7, 10000]
    assert parse_pattern(f"{tmp_path}/nowhere/p.#.exr").on_disk() == []


def test_a_directory_with_one_sequence(tmp_path):
    touch(tmp_path, "p.0998.exr", "p.1001.exr", "notes.txt", ".hidden.0001.exr", "Thumbs.db")
    assert str(find_sequence(tmp_path).path(998).name) == "p.0998.exr"
    touch(tmp_path, "matte.0001.exr")
    with pytest.raises(InputError, match="2 sequences"):
        find_sequence(tmp_path)


def test_unpadded_and_single_in_a_directory(tmp_path):
    (tmp_path / "a").mkdir()
    found = find_sequence(touch(tmp_path / "a", "p.9.png", "p.10.png"))
    assert found.on_disk() == [9, 10]
    (tmp_path / "b").mkdir()
    assert find_sequence(touch(tmp_path / "b", "still.png")).name == "still.png"
    (tmp_path / "c").mkdir()
    with pytest.raises(InputError, match="holds no"):
        find_sequence(tmp_path / "c")


def test_signs_for_frame_numbers_in_a_folders_name_are_only_a_name(tmp_path):
    for folder in ("take#2", "at@1001", "%04d", "x.####"):
        assert parse_pattern(f"{tmp_path}/{folder}/p.####.exr").path(7) == tmp_path / folder / "p.0007.exr"


@pytest.mark.parametrize("text", ["1001-99999999999", "1001 1005", "1 2-3"])
def test_ranges_that_would_be_taken_for_others_are_refused(text):
    with pytest.raises(InputError, match="not a frame range"):
        parse_frames(text)


@pytest.mark.parametrize(
    ("names", "found", "frames"),
    [
        (["p.-0002.exr", "p.-0001.exr", "p.0000.exr", "p.0001.exr"], "p.####.exr", [-2, -1, 0, 1]),
        (["shot-0998.png", "shot-0999.png", "shot-1000.png"], "shot-####.png", [998, 999, 1000]),
        (["shot0001.png", "shot0002.png"], "shot####.png", [1, 2]),
        (["p.-1.exr", "p.0.exr", "p.1.exr"], "p.#.exr", [-1, 0, 1]),
    ],
)
def test_a_directory_in_the_ways_that_programs_number_files(tmp_path, names, found, frames):
    sequence = find_sequence(touch(tmp_path, *names))
    assert str(sequence) == str(tmp_path / found)
    assert sequence.on_disk() == frames


def test_versions_in_a_directory_are_no_frames(tmp_path):
    with pytest.raises(InputError, match="2 sequences"):
        find_sequence(touch(tmp_path, "key_v001.png", "key_v002.png"))
