"""The pass on the stand-in: what the editor gets, what stays untouched, what happens when Resolve fails silently."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from resolve_standin import ItemData, MediaPool, Resolve, World, read_rgb, timecode
from resolve_support import Footage, Painter, Recorder, run, settings_for, states, tint

from colormnet_host import weights
from colormnet_host.client import WorkerError
from colormnet_host.launcher import WorkerUnavailable
from colormnet_host.weights import WeightsFile
from colormnet_resolve.colouring import Colourist
from colormnet_resolve.errors import PassError
from colormnet_resolve.runner import exit_code, run_pass
from colormnet_resolve.sequences import safe_name


def items(world: World) -> list[ItemData]:
    return [item for track in world.timelines[0].tracks for item in track.items]


def leftovers(output: Path) -> list[str]:
    return [path.name for path in output.rglob(".*")]


def test_the_clip_under_the_playhead_gets_a_coloured_take(world: World, footage: Footage, tmp_path: Path) -> None:
    before = world.snapshot()
    summary, _ = run(world, settings_for(footage, tmp_path))
    assert states(summary) == {"shot2": "done"}
    assert exit_code(summary) == 0
    item = items(world)[1]
    assert len(item.takes) == 2
    assert item.selected == 1
    assert item.takes[0].media.name == "shot2.exr", "the original is the first take still"
    take = item.takes[1]
    assert (take.start, take.end - take.start) == (2, 8), "the take starts behind its handle"
    assert take.media.frames == 8 + 2 * 2
    # What is seen on the timeline at each frame is the tinted source frame of that very place.
    for offset in range(8):
        seen = world.visible(world.timelines[0], 86400 + 8 + offset)
        assert seen is not None
        expected = tint(read_rgb(footage.grey[1][6 + offset])).astype(np.float16)
        np.testing.assert_array_equal(read_rgb(seen[1]).astype(np.float16), expected)
    assert world.snapshot() == before, "nothing but the take and the bin is new"
    assert [folder.name for folder in world.root.folders] == ["ColorMNet"]
    assert leftovers(tmp_path) == []


def test_the_other_clips_and_deliver_are_as_before(world: World, footage: Footage, tmp_path: Path) -> None:
    world.deliver.settings["MarkIn"] = 86405
    world.folder = world.root
    before = world.snapshot()
    run(world, settings_for(footage, tmp_path, select="track"))
    assert world.snapshot() == before
    assert all(len(item.takes) == 2 for item in items(world))


@pytest.mark.parametrize("product", ["DaVinci Resolve", "DaVinci Resolve Lite"])
def test_the_free_edition_is_told_first(world: World, footage: Footage, tmp_path: Path, product: str) -> None:
    world.quirks.product = product
    with pytest.raises(PassError, match=r"free edition.*Studio") as error:
        run(world, settings_for(footage, tmp_path))
    assert set(world.calls) == {"Resolve.GetProductName", "Resolve.GetVersionString"}
    assert error.value.exit_code == 2
    assert not (tmp_path / "colormnet-pass.json").exists()


def test_a_repeated_pass_skips_what_is_unchanged(world: World, footage: Footage, tmp_path: Path) -> None:
    painter = Painter()
    run(world, settings_for(footage, tmp_path), painter)
    painted, calls = painter.painted, len(world.jobs)
    summary, _ = run(world, settings_for(footage, tmp_path), painter)
    assert states(summary) == {"shot2": "unchanged"}
    assert (painter.painted, len(world.jobs)) == (painted, calls)
    assert len(items(world)[1].takes) == 2
    assert world.calls.count("Project.AddRenderJob") == 1


def test_a_frame_rendered_again_or_another_input_space_is_a_change(
    world: World, footage: Footage, tmp_path: Path
) -> None:
    run(world, settings_for(footage, tmp_path))
    middle = footage.grey[1][9]
    stat = middle.stat()
    try:
        os.utime(middle, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1_000_000))
        summary, _ = run(world, settings_for(footage, tmp_path))
        assert states(summary) == {"shot2": "done"}
        outside = footage.grey[1][20]  # not of the clip, nor of its handles
        os.utime(outside, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1_000_000))
        summary, _ = run(world, settings_for(footage, tmp_path))
        assert states(summary) == {"shot2": "unchanged"}
        items(world)[1].takes[0].media.properties["Input Color Space"] = "ACEScct"
        summary, _ = run(world, settings_for(footage, tmp_path))
        assert states(summary) == {"shot2": "done"}
    finally:
        os.utime(middle, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert world.calls.count("Project.AddRenderJob") == 3


def test_new_weights_make_another_take(world: World, footage: Footage, tmp_path: Path) -> None:
    painter = Painter()
    run(world, settings_for(footage, tmp_path), painter)
    painter.digest = "w2"
    summary, _ = run(world, settings_for(footage, tmp_path), painter)
    assert states(summary) == {"shot2": "done"}
    assert (len(painter.works), len(items(world)[1].takes)) == (2, 3)
    painter.digest = "w1"
    summary, _ = run(world, settings_for(footage, tmp_path), painter)
    assert states(summary) == {"shot2": "done"}
    assert len(painter.works) == 2, "the former weights' frames are there still"
    assert (len(items(world)[1].takes), items(world)[1].selected) == (3, 1), "their take is shown again"
    items(world)[1].selected = 0  # the editor looks at the original
    summary, _ = run(world, settings_for(footage, tmp_path), painter)
    assert states(summary) == {"shot2": "unchanged"}
    assert items(world)[1].selected == 0, "which take is shown is the editor's choice"


@pytest.mark.parametrize(
    ("error", "code"),
    [(WorkerError("The weights are missing.", "weights"), 3), (WorkerUnavailable("There is no engine."), 4)],
)
def test_missing_weights_are_told_before_anything_is_rendered(
    world: World, footage: Footage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int
) -> None:
    def find(model: str, python: str | None = None) -> WeightsFile:
        raise error

    monkeypatch.setattr(weights, "find_weights", find)
    before = world.snapshot()
    with pytest.raises(PassError, match=str(error)) as caught:
        run_pass(Resolve(world), settings_for(footage, tmp_path), Recorder(), Colourist())
    assert caught.value.exit_code == code
    assert world.snapshot() == before
    assert "Project.AddRenderJob" not in world.calls
    assert leftovers(tmp_path) == []


def test_a_changed_exemplar_makes_another_take_and_keeps_the_former(
    world: World, footage: Footage, tmp_path: Path
) -> None:
    run(world, settings_for(footage, tmp_path))
    summary, _ = run(world, settings_for(footage, tmp_path, exemplars=(str(footage.exemplars[2]),)))
    assert states(summary) == {"shot2": "done"}
    item = items(world)[1]
    assert len(item.takes) == 3
    assert item.selected == 2
    assert len({take.media.path for take in item.takes}) == 3
    # The second pass started from the black-and-white plate, not from its own first result.
    expected = tint(read_rgb(footage.grey[1][6])).astype(np.float16)
    seen = world.visible(world.timelines[0], 86408)
    assert seen is not None
    np.testing.assert_array_equal(read_rgb(seen[1]).astype(np.float16), expected)


def test_an_older_coloured_take_is_never_the_plate(world: World, footage: Footage, tmp_path: Path) -> None:
    run(world, settings_for(footage, tmp_path / "a"))
    run(world, settings_for(footage, tmp_path / "a", exemplars=(str(footage.exemplars[1]),)))
    items(world)[1].selected = 1  # the editor likes the first result better
    run(world, settings_for(footage, tmp_path / "b", exemplars=(str(footage.exemplars[2]),)))
    expected = tint(read_rgb(footage.grey[1][6])).astype(np.float16)
    np.testing.assert_array_equal(read_rgb(items(world)[1].takes[3].media.files[2]).astype(np.float16), expected)


def test_without_weights_no_further_clip_is_rendered(world: World, footage: Footage, tmp_path: Path) -> None:
    class Weightless(Painter):
        def colour(self, *_args: object) -> list[object]:  # type: ignore[override]
            raise PassError("The weights are missing: fetch them.", 3)

    summary, _ = run(world, settings_for(footage, tmp_path, select="track"), Weightless())
    assert states(summary) == {"shot1": "failed"}
    assert exit_code(summary) == 3
    assert world.calls.count("Project.AddRenderJob") == 1
    summary, _ = run(world, settings_for(footage, tmp_path), resume=True)
    assert set(states(summary).values()) == {"done"}
    assert len(summary.outcomes) == 3


def test_a_failed_take_is_not_coloured_again(world: World, footage: Footage, tmp_path: Path) -> None:
    world.timelines[0].tracks[0].locked = True
    painter = Painter()
    summary, _ = run(world, settings_for(footage, tmp_path), painter)
    assert "unlock its track" in summary.outcomes[0].message
    world.timelines[0].tracks[0].locked = False
    painted = painter.painted
    summary, _ = run(world, settings_for(footage, tmp_path), painter)
    assert states(summary) == {"shot2": "done"}
    assert painter.painted == painted


def test_a_take_the_editor_removed_comes_back_without_colouring(world: World, footage: Footage, tmp_path: Path) -> None:
    painter = Painter()
    run(world, settings_for(footage, tmp_path), painter)
    item = items(world)[1]
    del item.takes[1]
    item.selected, item.is_selector = 0, False
    painted = painter.painted
    summary, _ = run(world, settings_for(footage, tmp_path), painter)
    assert states(summary) == {"shot2": "done"}
    assert painter.painted == painted
    assert len(item.takes) == 2
    assert len(world.root.folders[0].media) == 1, "the media is imported once"


def test_takes_of_the_editor_are_kept(world: World, footage: Footage, tmp_path: Path) -> None:
    item = items(world)[1]
    other = world.add_sequence(footage.grey[2], "other.exr")
    item.takes.append(type(item.takes[0])(other, 3, 11))
    item.is_selector, item.selected = True, 1
    run(world, settings_for(footage, tmp_path))
    assert [take.media.name for take in item.takes[:2]] == ["shot2.exr", "other.exr"]
    assert item.selected == 2
    expected = tint(read_rgb(footage.grey[2][3])).astype(np.float16)  # the take that was selected is the plate
    seen = world.visible(world.timelines[0], 86408)
    assert seen is not None
    np.testing.assert_array_equal(read_rgb(seen[1]).astype(np.float16), expected)


@pytest.mark.parametrize("stuck", [True, False])
@pytest.mark.parametrize("end_exclusive", [True, False])
@pytest.mark.parametrize("append_inclusive", [True, False])
def test_either_way_of_counting_ends_gives_the_same_take(
    world: World, footage: Footage, tmp_path: Path, stuck: bool, end_exclusive: bool, append_inclusive: bool
) -> None:
    world.quirks.stuck_at_100 = stuck
    world.quirks.take_end_exclusive = end_exclusive
    world.quirks.append_end_inclusive = append_inclusive
    before = world.snapshot()
    summary, _ = run(world, settings_for(footage, tmp_path))
    assert states(summary) == {"shot2": "done"}
    take = items(world)[1].takes[1]
    assert (take.start, take.end - take.start, take.media.frames) == (2, 8, 12)
    assert len(items(world)[1].takes) == 2
    assert world.snapshot() == before


def test_handles_end_where_the_source_ends(world: World, footage: Footage, tmp_path: Path) -> None:
    summary, _ = run(world, settings_for(footage, tmp_path, handles=500))
    assert states(summary) == {"shot2": "done"}
    take = items(world)[1].takes[1]
    assert (take.media.frames, take.start) == (24, 6)


def test_on_a_new_track(world: World, footage: Footage, tmp_path: Path) -> None:
    settings = settings_for(footage, tmp_path, placement="track", select="track")
    summary, _ = run(world, settings)
    assert states(summary) == {"shot1": "done", "shot2": "done", "shot3": "done"}
    tracks = world.timelines[0].tracks
    assert [track.name for track in tracks] == ["Video 1", "ColorMNet"]
    assert [(i.start, i.duration, i.takes[0].start) for i in tracks[1].items] == [
        (86400, 8, 2),
        (86408, 8, 2),
        (86416, 8, 2),
    ]
    assert all(len(item.takes) == 1 for item in tracks[0].items), "the originals have no takes"
    again, _ = run(world, settings)
    assert set(states(again).values()) == {"unchanged"}
    assert len(tracks[1].items) == 3


@pytest.mark.parametrize("placement", ["take", "track"])
def test_the_editor_opens_another_timeline_meanwhile(
    world: World, footage: Footage, tmp_path: Path, placement: str
) -> None:
    reel = world.current
    other = world.add_timeline("Reel 2")
    world.add_clip(other, world.root.media[0], 90000, 8, track=2)
    world.current = reel

    class Elsewhere(Painter):
        def colour(self, *arguments: Any) -> list[Any]:
            world.current = other
            return super().colour(*arguments)

    summary, _ = run(world, settings_for(footage, tmp_path, placement=placement), Elsewhere())
    assert states(summary) == {"shot2": "done"}
    assert [len(track.items) for track in other.tracks] == [0, 1]
    seen = world.visible(world.timelines[0], 86408)
    assert seen is not None
    assert seen[1].startswith(str(tmp_path)), "the colour is on the timeline it was made for"


def test_a_track_that_stays_empty_is_taken_away(world: World, footage: Footage, tmp_path: Path) -> None:
    before = world.snapshot()

    class Deaf(Painter):
        def colour(self, *arguments: Any) -> list[Any]:
            world.quirks.silent = {"MediaPool.AppendToTimeline"}  # from now on
            return super().colour(*arguments)

    summary, _ = run(world, settings_for(footage, tmp_path, placement="track"), Deaf())
    assert "did not put the coloured clip" in summary.outcomes[0].message
    assert world.snapshot() == before


def test_a_full_disk_is_one_clips_failure(world: World, footage: Footage, tmp_path: Path) -> None:
    class Full(Painter):
        def colour(self, work: Any, *arguments: Any) -> list[Any]:
            if work.name == "shot2":
                raise OSError(28, "No space left on device", str(tmp_path / "x.exr"))
            return super().colour(work, *arguments)

    summary, _ = run(world, settings_for(footage, tmp_path, select="track"), Full())
    assert states(summary) == {"shot1": "done", "shot2": "failed", "shot3": "done"}
    assert "x.exr cannot be read or written (No space left on device)" in summary.outcomes[1].message


@pytest.mark.parametrize("place", ["Größe 日本", "take [1]", "$HOME #2", "it's & more; (v2)"])
def test_paths_and_names_of_any_kind(world: World, footage: Footage, tmp_path: Path, place: str) -> None:
    items(world)[1].name = 'Shot 2/β: [%04d] $x "q".mov'
    output = tmp_path / place
    summary, _ = run(world, settings_for(footage, output))
    assert set(states(summary).values()) == {"done"}
    summary, _ = run(world, settings_for(footage, output))
    assert set(states(summary).values()) == {"unchanged"}


def test_a_busy_coloured_track_is_not_overlapped(world: World, footage: Footage, tmp_path: Path) -> None:
    world.add_clip(world.timelines[0], world.root.media[0], 86404, 20, track=2)
    world.timelines[0].tracks[1].name = "ColorMNet"
    world.timelines[0].playhead = 86402
    run(world, settings_for(footage, tmp_path, placement="track"))
    assert [len(track.items) for track in world.timelines[0].tracks] == [3, 1, 1]
    assert world.timelines[0].tracks[2].name == "ColorMNet"


def test_marked_clips(world: World, footage: Footage, tmp_path: Path) -> None:
    items(world)[0].markers = {7.0: {"color": "Pink", "name": "", "note": "", "duration": 1.0, "customData": ""}}
    items(world)[2].markers = {9.0: {"color": "Pink", "name": "", "note": "", "duration": 1.0, "customData": ""}}
    summary, _ = run(world, settings_for(footage, tmp_path, select="marker", marker_colour="Pink"))
    assert states(summary) == {"shot1": "done", "shot3": "done"}
    with pytest.raises(PassError, match="No clip of the timeline carries a Cyan marker"):
        run(world, settings_for(footage, tmp_path, select="marker", marker_colour="Cyan"))


def test_clips_selected_in_the_media_pool(world: World, footage: Footage, tmp_path: Path) -> None:
    world.selected_media = [world.root.media[2].uid]
    summary, _ = run(world, settings_for(footage, tmp_path, select="selected"))
    assert states(summary) == {"shot3": "done"}


def test_nothing_selected_and_no_way_to_tell(
    world: World, footage: Footage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(PassError, match="does not tell scripts what is selected on the timeline"):
        run(world, settings_for(footage, tmp_path, select="selected"))
    monkeypatch.setattr(MediaPool, "GetSelectedClips", None)  # as an older Resolve reads a name it does not have
    with pytest.raises(PassError, match="marker colour and choose that"):
        run(world, settings_for(footage, tmp_path, select="selected"))


def test_several_exemplars_by_markers(world: World, footage: Footage, tmp_path: Path) -> None:
    data = json.dumps({"colormnet": {"exemplar": str(footage.exemplars[1])}})
    base = {"color": "Sky", "note": "", "duration": 1.0}
    items(world)[1].markers = {
        11.0: {**base, "name": "same frame", "customData": data},
        6.0: {**base, "name": "", "customData": f"colormnet:{footage.exemplars[0]}"},
        8.0: {**base, "name": "a note of the editor", "customData": "ask Jo"},
    }
    painter = Painter()
    run(world, settings_for(footage, tmp_path, exemplars=("markers",)), painter)
    assert [(e.path, e.frame) for e in painter.works[0].exemplars] == [
        (str(footage.exemplars[0]), None),
        (str(footage.exemplars[1]), 11),
    ]
    items(world)[1].markers[6.0]["customData"] = "colormnet:/nowhere/ref.png"
    summary, _ = run(world, settings_for(footage, tmp_path, exemplars=("markers",)), painter)
    assert "does not exist" in summary.outcomes[0].message


def test_the_current_still_carries_the_timelines_space(world: World, footage: Footage, tmp_path: Path) -> None:
    painter = Painter()
    still = f"still@{timecode(86400)}"
    run(world, settings_for(footage, tmp_path, exemplars=(still,)), painter)
    (exemplar,) = painter.works[0].exemplars
    assert exemplar.space == painter.works[0].space == "Gamma 2.4 Rec.709 - Texture"
    np.testing.assert_allclose(read_rgb(exemplar.path), read_rgb(footage.grey[0][6]), atol=1e-4)
    assert world.timelines[0].playhead == 86410, "the playhead is back"


def test_the_space_is_given_explicitly_or_the_pass_stops(world: World, footage: Footage, tmp_path: Path) -> None:
    world.project_settings.update(colorScienceMode="davinciYRGBColorManagedv2", colorSpaceOutput="Studio Swing Fancy")
    with pytest.raises(PassError, match=r"Studio Swing Fancy.*--space"):
        run(world, settings_for(footage, tmp_path))
    painter = Painter()
    run(world, settings_for(footage, tmp_path, space="ACEScct"), painter)
    assert painter.works[0].space == "ACEScct"
    assert items(world)[1].takes[1].media.properties["Input Color Space"] == "Studio Swing Fancy"


def test_direct_reading_of_an_ungraded_sequence(world: World, footage: Footage, tmp_path: Path) -> None:
    items(world)[2].nodes = [["Primary"]]
    painter = Painter()
    settings = settings_for(footage, tmp_path, select="track", direct=True, source_space="sRGB - Texture")
    summary, recorder = run(world, settings, painter)
    assert set(states(summary).values()) == {"done"}
    assert world.calls.count("Project.AddRenderJob") == 1, "only the graded clip is rendered"
    assert painter.works[0].frames[0][1] == str(footage.grey[0][4])
    assert [work.space for work in painter.works] == ["sRGB - Texture", "sRGB - Texture", "Gamma 2.4 Rec.709 - Texture"]
    assert any("it is graded" in stage for stage in recorder.stages)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda item: setattr(item, "retime", 12), "retimed"),
        (lambda item: setattr(item.takes[0].media, "fps", 30.0), "30 fps on a timeline of 24 fps"),
        (lambda item: item.takes[0].media.properties.update(PAR="NTSC DV"), "non-square pixels"),
        (lambda item: setattr(item.takes[0].media, "path", ""), "no media file of its own"),
    ],
)
def test_clips_that_cannot_be_coloured_say_why(
    world: World, footage: Footage, tmp_path: Path, change: object, words: str
) -> None:
    change(items(world)[1])  # type: ignore[operator]
    with pytest.raises(PassError, match=words):
        run(world, settings_for(footage, tmp_path))
    summary, _ = run(world, settings_for(footage, tmp_path, select="track"))
    assert states(summary) == {"shot1": "done", "shot3": "done"}
    assert words in summary.refusals[0].reason


def test_one_failing_render_does_not_stop_the_others(world: World, footage: Footage, tmp_path: Path) -> None:
    world.quirks.failing_media = {"shot2.exr"}
    before = world.snapshot()
    summary, _ = run(world, settings_for(footage, tmp_path, select="track"))
    assert states(summary) == {"shot1": "done", "shot2": "failed", "shot3": "done"}
    assert "Clip could not be rendered" in summary.outcomes[1].message
    assert exit_code(summary) == 2
    assert [len(item.takes) for item in items(world)] == [2, 1, 2]
    assert world.snapshot() == before
    assert leftovers(tmp_path) == []
    world.quirks.failing_media = set()
    summary, _ = run(world, settings_for(footage, tmp_path), resume=True)
    assert states(summary) == {"shot2": "done"}


def test_cancelled_while_colouring_and_resumed(world: World, footage: Footage, tmp_path: Path) -> None:
    before = world.snapshot()
    summary, _ = run(world, settings_for(footage, tmp_path, select="track"), Painter(cancel_after=5))
    assert states(summary) == {"shot1": "cancelled"}
    assert exit_code(summary) == 5
    assert world.snapshot() == before
    assert leftovers(tmp_path) == []
    # Of the settings given only the folder counts: the pass goes on as it began.
    summary, _ = run(world, settings_for(footage, tmp_path, handles=9, placement="track", exemplars=()), resume=True)
    assert states(summary) == {"shot1": "done", "shot2": "done", "shot3": "done"}, "those not begun are resumed too"
    assert all((item.takes[1].start, item.takes[1].media.frames) == (2, 12) for item in items(world))
    with pytest.raises(PassError, match="nothing to resume"):
        run(world, settings_for(footage, tmp_path), resume=True)


def test_cancelled_while_rendering(world: World, footage: Footage, tmp_path: Path) -> None:
    before = world.snapshot()
    recorder = Recorder()
    world.quirks.on_render_poll = lambda done: setattr(recorder, "stopped", done >= 3)
    summary = run_pass(Resolve(world), settings_for(footage, tmp_path), recorder, Painter())
    assert states(summary) == {"shot2": "cancelled"}
    assert world.rendering is None
    assert world.snapshot() == before
    assert leftovers(tmp_path) == []


def test_a_render_that_stands_still_is_given_up(world: World, footage: Footage, tmp_path: Path) -> None:
    world.quirks.stand_still = True
    before = world.snapshot()
    summary, _ = run(world, settings_for(footage, tmp_path, patience=0.05))
    assert "stands still" in summary.outcomes[0].message
    assert world.rendering is None
    assert world.snapshot() == before


def test_a_frame_that_was_not_rendered_is_noticed(world: World, footage: Footage, tmp_path: Path) -> None:
    world.quirks.lose_last_frame = True
    summary, _ = run(world, settings_for(footage, tmp_path))
    assert "11 of 12 frames" in summary.outcomes[0].message
    assert len(items(world)[1].takes) == 1


def test_no_exr_codec_is_told(world: World, footage: Footage, tmp_path: Path) -> None:
    world.quirks.exr = False
    before = world.snapshot()
    summary, _ = run(world, settings_for(footage, tmp_path))
    assert "no half-float EXR" in summary.outcomes[0].message
    assert world.snapshot() == before


def test_a_lossless_half_codec_is_chosen(world: World, footage: Footage, tmp_path: Path) -> None:
    chosen = []
    world.quirks.on_render_poll = lambda _done: chosen.append(world.deliver.codec)
    run(world, settings_for(footage, tmp_path))
    assert set(chosen) == {"RGBHalfZIP"}


SILENT = [
    "Project.GetMediaPool",
    "Project.GetCurrentTimeline",
    "MediaPool.GetRootFolder",
    "MediaPool.GetCurrentFolder",
    "TimelineItem.GetStart",
    "TimelineItem.GetDuration",
    "TimelineItem.GetLeftOffset",
    "TimelineItem.GetRightOffset",
    "TimelineItem.GetTakesCount",
    "Folder.GetClipList",
    "Timeline.GetTrackCount",
    "MediaPool.CreateEmptyTimeline",
    "MediaPool.AppendToTimeline",
    "MediaPool.ImportMedia",
    "MediaPool.AddSubFolder",
    "Timeline.SetSetting",
    "Timeline.GetItemListInTrack",
    "Timeline.GetCurrentVideoItem",
    "Project.SetCurrentRenderFormatAndCodec",
    "Project.SetRenderSettings",
    "Project.AddRenderJob",
    "Project.StartRendering",
    "Project.GetRenderJobStatus",
    "TimelineItem.AddTake",
    "TimelineItem.SelectTakeByIndex",
    "TimelineItem.GetMediaPoolItem",
    "TimelineItem.GetUniqueId",
    "MediaPoolItem.GetClipProperty",
    "Resolve.GetProjectManager",
    "ProjectManager.GetCurrentProject",
]


@pytest.mark.parametrize("silence", [None, False])
@pytest.mark.parametrize("call", SILENT)
def test_every_silent_failure_becomes_a_sentence(
    world: World, footage: Footage, tmp_path: Path, call: str, silence: bool | None
) -> None:
    before = world.snapshot()
    world.quirks.silent, world.quirks.silence = {call}, silence
    try:
        summary, _ = run(world, settings_for(footage, tmp_path))
        assert states(summary) == {"shot2": "failed"}
        message = summary.outcomes[0].message
    except PassError as error:
        message = str(error)
    assert message.endswith(".")
    assert ": " in message, "it says what to do"
    world.quirks.silent = set()
    assert world.rendering is None
    assert {k: v for k, v in world.snapshot().items() if k != "folder"} == {
        k: v for k, v in before.items() if k != "folder"
    }
    assert [take.media.name for take in items(world)[1].takes] == ["shot2.exr"]
    assert leftovers(tmp_path) == []
    summary, _ = run(world, settings_for(footage, tmp_path))
    assert states(summary) == {"shot2": "done"}, "the same pass succeeds once Resolve does its part"


def test_a_take_that_cannot_be_read_back_is_left_and_found_again(
    world: World, footage: Footage, tmp_path: Path
) -> None:
    world.quirks.silent = {"TimelineItem.GetTakeByIndex"}
    summary, _ = run(world, settings_for(footage, tmp_path))
    assert "has a new take but Resolve does not tell" in summary.outcomes[0].message
    assert items(world)[1].selected == 0, "what is seen is as before"
    world.quirks.silent = set()
    summary, _ = run(world, settings_for(footage, tmp_path))
    assert set(states(summary).values()) <= {"done", "unchanged"}
    assert (len(items(world)[1].takes), items(world)[1].selected) == (2, 1)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("Project.DeleteRenderJob", "render job"),
        ("MediaPool.DeleteTimelines", "could not be deleted"),
        ("Project.SaveAsNewRenderPreset", "Deliver settings cannot be kept"),
        ("Timeline.SetCurrentTimecode", ""),
        ("Resolve.OpenPage", "the page could not be put back"),
        ("Project.DeleteRenderPreset", "render preset"),
        ("Project.LoadRenderPreset", "Deliver settings could not be put back"),
        ("MediaPool.SetCurrentFolder", "media pool's folder could not be put back"),
        ("Project.GetTimelineByIndex", ""),
    ],
)
@pytest.mark.parametrize("silence", [None, False])
def test_what_cannot_be_put_back_is_a_warning(
    world: World, footage: Footage, tmp_path: Path, call: str, words: str, silence: bool | None
) -> None:
    world.quirks.silent, world.quirks.silence = {call}, silence
    summary, recorder = run(world, settings_for(footage, tmp_path))
    assert states(summary) == {"shot2": "done"}
    assert words in " ".join(recorder.warnings)
    assert bool(recorder.warnings) == bool(words)


def test_headless_resolve(world: World, footage: Footage, tmp_path: Path) -> None:
    world.quirks.headless = True
    summary, recorder = run(world, settings_for(footage, tmp_path))
    assert states(summary) == {"shot2": "done"}
    assert recorder.warnings == []


def test_leavings_of_a_crashed_pass_are_removed(world: World, footage: Footage, tmp_path: Path) -> None:
    run(world, settings_for(footage, tmp_path / "first"))
    before = world.snapshot()
    world.presets["ColorMNet temporary deadbeef"] = world.deliver
    reel = world.current
    world.add_timeline("ColorMNet temporary deadbeef")
    world.current = reel
    folder = tmp_path / "second"
    folder.mkdir()
    stale = folder / f".colormnet-work-{safe_name(platform.node() or 'here')}-abc"
    stale.mkdir()
    (stale / "plate_0001.exr").write_bytes(b"x")
    _, recorder = run(world, settings_for(footage, folder))
    assert world.snapshot() == before
    assert "left by a pass that did not end well" in recorder.warnings[0]
    assert leftovers(folder) == []


def test_one_pass_at_a_time_in_a_folder(world: World, footage: Footage, tmp_path: Path) -> None:
    class Nosy(Painter):
        """Another shell starts a pass in the same folder while this one colours."""

        def colour(self, *arguments: Any) -> list[Any]:
            with pytest.raises(PassError, match="Another pass works in"):
                run(world, settings_for(footage, tmp_path))
            return super().colour(*arguments)

    summary, _ = run(world, settings_for(footage, tmp_path), Nosy())
    assert states(summary) == {"shot2": "done"}
    lock = tmp_path / ".colormnet-pass.lock"
    assert not lock.exists()
    # A lock whose process is gone, or that holds nothing and is old, is in nobody's way; one of another machine is.
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    host = safe_name(platform.node() or "here")
    lock.write_text(json.dumps({"host": host, "pid": gone.pid, "started": "1"}))
    run(world, settings_for(footage, tmp_path))
    lock.write_text("")
    os.utime(lock, (1, 1))
    run(world, settings_for(footage, tmp_path))
    lock.write_text(json.dumps({"host": "elsewhere", "pid": 1, "started": "1"}))
    with pytest.raises(PassError, match="delete"):
        run(world, settings_for(footage, tmp_path))
    assert lock.exists()


def test_an_unexpected_error_leaves_nothing_behind(world: World, footage: Footage, tmp_path: Path) -> None:
    class Broken(Painter):
        def colour(self, *_args: object) -> list[object]:  # type: ignore[override]
            raise RuntimeError("a bug")

    before = world.snapshot()
    with pytest.raises(RuntimeError, match="a bug"):
        run(world, settings_for(footage, tmp_path), Broken())
    assert world.snapshot() == before
    assert leftovers(tmp_path) == []


def test_nothing_to_resume(world: World, footage: Footage, tmp_path: Path) -> None:
    with pytest.raises(PassError, match="no pass has begun there"):
        run(world, settings_for(footage, tmp_path), resume=True)


def test_a_folder_that_cannot_be_written(world: World, footage: Footage, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(PassError, match="cannot be written"):
        run(world, settings_for(footage, tmp_path / "file" / "out"))


def test_a_broken_manifest_is_not_overwritten(world: World, footage: Footage, tmp_path: Path) -> None:
    path = tmp_path / "colormnet-pass.json"
    path.write_text("{ half a manif")
    with pytest.raises(PassError, match="move it aside"):
        run(world, settings_for(footage, tmp_path))
    assert path.read_text() == "{ half a manif"


def test_a_running_render_is_not_disturbed(world: World, footage: Footage, tmp_path: Path) -> None:
    project = Resolve(world).GetProjectManager().GetCurrentProject()
    project.SetRenderSettings({"TargetDir": str(tmp_path)})  # type: ignore[typeddict-item]
    job = project.AddRenderJob()
    assert project.StartRendering([job])
    world.quirks.stand_still = True
    with pytest.raises(PassError, match="A render is running"):
        run(world, settings_for(footage, tmp_path))
    assert world.rendering is not None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"select": "everything"}, "choose one of playhead"),
        ({"exemplars": ()}, "No exemplar"),
        ({"exemplars": ("/nowhere.png",)}, "does not exist"),
        ({"exemplars": ("still@noon",)}, "no timecode"),
        ({"handles": -1}, "Handles"),
        ({"saturation": 9.0}, "Saturation"),
        ({"direct": True}, "source-space"),
        ({"select": "marker", "marker_colour": "Plaid"}, "no marker colour"),
        ({"output": ""}, "No output folder"),
        ({"output": "/shots/100%"}, "contains a '%'"),
        ({"select": "track", "track": 4}, "no video track 4"),
    ],
)
def test_settings_are_checked_before_anything_is_done(
    world: World, footage: Footage, tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    before = world.snapshot()
    with pytest.raises(PassError, match=words):
        run(world, settings_for(footage, tmp_path, **changes))
    assert world.snapshot() == before
    assert "Project.AddRenderJob" not in world.calls
