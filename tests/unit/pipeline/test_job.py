from dataclasses import replace

import pytest

from colormnet.errors import InputError
from colormnet.job import ColorizeJob, ExemplarSpec, parse_exemplar

JOB = ColorizeJob(plate="plate.####.exr", exemplars=(ExemplarSpec("a.png"),), output="out.####.exr")


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("key.png", ExemplarSpec("key.png")),
        ("key.png@1001", ExemplarSpec("key.png", frame=1001)),
        ("key.####.exr@-5", ExemplarSpec("key.####.exr", frame=-5)),
        ("ref.mov#12", ExemplarSpec("ref.mov", picture=12)),
        ("ref.mov#12@1001", ExemplarSpec("ref.mov", picture=12, frame=1001)),
        ("ref.####.exr#1001@1001", ExemplarSpec("ref.####.exr", picture=1001, frame=1001)),
        ("me@home.png", ExemplarSpec("me@home.png")),
        (r"C:\refs\key.png@7", ExemplarSpec(r"C:\refs\key.png", frame=7)),
    ],
)
def test_exemplar_notation(text, spec):
    assert parse_exemplar(text) == spec
    assert str(spec) == text


@pytest.mark.parametrize("name", ["still@2", "still#3", "still#3@4"])
def test_an_existing_file_is_taken_literally(tmp_path, name):
    (tmp_path / name).touch()
    assert parse_exemplar(str(tmp_path / name)) == ExemplarSpec(str(tmp_path / name))


def test_a_name_that_no_file_can_have_is_read_like_any_other():
    name = "x" * 300 + ".png"
    assert parse_exemplar(f"{name}#2@1001") == ExemplarSpec(name, 2, 1001)


@pytest.mark.parametrize("text", ["", "@12", "#3@4"])
def test_an_exemplar_without_a_name_is_refused(text):
    with pytest.raises(InputError):
        parse_exemplar(text)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"exemplars": ()}, "--exemplar"),
        ({"exemplars": (ExemplarSpec("a", frame=3), ExemplarSpec("b", frame=3))}, "frame 3"),
        ({"output": "chroma"}, "--outputs chroma"),
        ({"output": " "}, "-o"),
        ({"plate": ""}, "plate"),
        ({"saturation": 11.0}, "saturation"),
        ({"saturation": float("nan")}, "saturation"),
        ({"working_size": 4}, "working size"),
        ({"snapshot_every": 0}, "Snapshots"),
        ({"resume": True, "overwrite": True}, "--overwrite"),
        ({"outputs": "rgb"}, "chroma"),
        ({"precision": "int8"}, "bfloat16"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused_with_the_way_out(change, word):
    with pytest.raises(InputError, match=word):
        replace(JOB, **change)
