import dataclasses
import string
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from colormnet.cli import farm as cli
from colormnet.farm import task as task_module
from colormnet.farm.commands import task_arguments
from colormnet.farm.shots import Shot
from colormnet.job import ColorizeJob, ExemplarSpec

names = st.text(string.ascii_letters + " #%_-.'\"$@&;", min_size=1, max_size=12).map(lambda text: f"/plates/{text}x")
jobs = st.builds(
    ColorizeJob,
    plate=names.map(lambda name: f"{name}.####.exr"),
    exemplars=st.lists(
        st.builds(ExemplarSpec, names.map(lambda name: f"{name}.png"), st.none() | st.integers(1, 9)),
        min_size=1,
        max_size=3,
    ).map(tuple),
    output=names.map(lambda name: f"{name}.####.exr"),
    frames=st.none() | st.just("1001-1100x2"),
    model=st.sampled_from(["lite", "released"]),
    weights=st.none() | names.map(Path),
    space=st.none() | st.just("ACEScg"),
    exemplar_space=st.none() | st.just("sRGB - Texture"),
    working_size=st.none() | st.integers(16, 512),
    saturation=st.sampled_from([0.0, 0.5, 1.0, 1.25]),
    outputs=st.sampled_from(["colour", "chroma", "both"]),
    confidence=st.booleans(),
    device=st.sampled_from(["auto", "cpu", "cuda:1"]),
    precision=st.sampled_from(["auto", "float64"]),
    snapshot_every=st.integers(1, 99),
    pixel_type=st.none() | st.just("half"),
    codec=st.none() | st.just("prores"),
    frame_rate=st.none() | st.just("24000/1001"),
    prepass_every=st.none() | st.integers(1, 99),
)


@settings(max_examples=40)
@given(jobs)
def test_the_command_line_of_a_task_says_the_whole_job(job):
    seen = []
    original = task_module.run_task
    task_module.run_task = lambda task, *_: seen.append(task)
    try:
        words = task_arguments(Shot("name", job, (1001,)), ["--part", "1001"], "json")
        answer = CliRunner().invoke(cli.app, words[1:], env={"COLORMNET_WORKER": ""})
    finally:
        task_module.run_task = original
    assert answer.exit_code == 0, answer.output
    assert seen[0].selection.part == "1001"
    assert dataclasses.replace(seen[0].job) == job
