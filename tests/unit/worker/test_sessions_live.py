"""Sessions of a running worker with the real lite model: order, cache, exemplars, settings, limits."""

import shutil

import cv2
import numpy as np
import OpenImageIO as oiio  # noqa: N813
import pytest

from colormnet_host.client import Client, NeedFrames, WorkerError
from colormnet_host.job import Exemplar, Image, SessionSettings
from colormnet_host.protocol import Pixels


@pytest.fixture
def client(launcher):
    with Client(launcher, name="test") as client:
        yield client


@pytest.fixture
def settings(rig):
    return SessionSettings(space=rig.SPACE, working_size=rig.HEIGHT, snapshot_every=4)


def opened(client, rig, shot, settings, **more):
    plates, exemplar, _ = shot
    return client.open_session("sh010", settings, sorted(plates), [Exemplar(str(exemplar), frame=1001)], **more)


def outputs(folder, plates):
    return {frame: folder / f"out.{frame}.exr" for frame in plates}


def test_frames_streamed_in_order_equal_colormnet_colorize(rig, client, shot, settings, tmp_path):
    plates, _, straight = shot
    session = opened(client, rig, shot, settings)
    out = outputs(tmp_path, plates)
    for frame, plate in plates.items():
        session.submit(frame, str(plate), str(out[frame]))
    results = list(session.results())
    assert [result.frame for result in results] == list(plates)
    assert not any(result.cached for result in results)
    assert rig.differing(straight, out) == []
    assert all(0.0 <= result.low_confidence <= result.confidence <= 1.0 for result in results)


def test_any_order_of_requests_gives_the_straight_runs_frames(rig, client, shot, settings, tmp_path):
    plates, _, straight = shot
    session = opened(client, rig, shot, settings, plates=lambda frame: str(plates[frame]))
    out = outputs(tmp_path, plates)
    order = [1007, 1001, 1012, 1004, 1004, 1002, 1011, 1003, 1010, 1005, 1009, 1006, 1008]
    cached = {}
    for frame in order:
        result = session.colorize(frame, str(plates[frame]), str(out[frame]))
        cached.setdefault(frame, result.cached)
    assert rig.differing(straight, out) == []
    assert not cached[1007]
    assert cached[1001]  # passed on the way to 1007


def test_the_same_request_again_is_answered_from_the_cache_with_the_same_pixels(rig, client, shot, settings, tmp_path):
    plates, _, straight = shot
    session = opened(client, rig, shot, settings)
    first = session.colorize(1001, str(plates[1001]), str(tmp_path / "one.exr"))
    steps = client._request({"type": "status"})["status"]["steps"]
    again = session.colorize(1001, str(plates[1001]), str(tmp_path / "two.exr"))
    assert (first.cached, again.cached) == (False, True)
    assert client._request({"type": "status"})["status"]["steps"] == steps
    assert rig.picture(tmp_path / "one.exr") == rig.picture(tmp_path / "two.exr") == rig.picture(straight[1001])


def test_frames_never_sent_are_asked_for_by_number(client, rig, shot, settings, tmp_path):
    plates, _, straight = shot
    session = opened(client, rig, shot, settings)
    session.colorize(1001, str(plates[1001]), str(tmp_path / "a.exr"))
    with pytest.raises(NeedFrames) as caught:
        session.colorize(1005, str(plates[1005]), str(tmp_path / "b.exr"))
    assert caught.value.frames == [1002, 1003, 1004]
    assert not (tmp_path / "b.exr").exists()
    for frame in caught.value.frames:
        session.supply(frame, str(plates[frame]))
    session.colorize(1005, str(plates[1005]), str(tmp_path / "b.exr"))
    assert rig.picture(tmp_path / "b.exr") == rig.picture(straight[1005])


def test_a_new_exemplar_reuses_keys_and_the_old_one_finds_its_results_again(rig, client, shot, settings, tmp_path):
    plates, exemplar, _ = shot
    session = opened(client, rig, shot, settings)
    before = session.generation
    for frame in sorted(plates)[:5]:
        session.submit(frame, str(plates[frame]), str(tmp_path / f"a{frame}.exr"))
    former = {result.frame: result.confidence for result in session.results()}
    encoded = session.status().keys_encoded
    # The exemplar with red and blue exchanged: every token of the memory finds two that are alike.
    other = np.ascontiguousarray(cv2.imread(str(exemplar)), np.float32) / 255
    assert other.shape == (rig.HEIGHT, rig.WIDTH, 3)
    session.add_exemplar(Exemplar(image=Image(other.tobytes(), Pixels(rig.WIDTH, rig.HEIGHT, 3, "float"))))
    assert session.generation != before
    changed = session.colorize(1005, str(plates[1005]), str(tmp_path / "b1005.exr"))
    status = session.status()
    assert not changed.cached
    assert (status.keys_encoded, status.keys_reused) == (encoded, 5)
    # The carried colours may be kept; how sure the network is of them depends on everything it remembers.
    assert changed.confidence != former[1005]
    session.set_exemplars([Exemplar(str(exemplar), frame=1001)])
    assert session.generation == before
    back = session.colorize(1005, str(plates[1005]), str(tmp_path / "c1005.exr"))
    assert back.cached
    assert rig.picture(tmp_path / "c1005.exr") == rig.picture(tmp_path / "a1005.exr")


def test_an_exemplar_of_a_later_frame_equals_colormnet_colorize(rig, client, fork_server, shot, settings, tmp_path):
    plates, exemplar, _ = shot
    specs = (rig.ExemplarSpec(str(exemplar), None, None), rig.ExemplarSpec(str(exemplar), None, 1001))
    some = {frame: plates[frame] for frame in sorted(plates)[:4]}
    straight = rig.straight_run(fork_server, some, specs, tmp_path / "straight", frames="1001-1004", saturation=1.2)
    session = client.open_session(
        "two exemplars",
        settings._replace(saturation=1.2),
        sorted(some),
        [Exemplar(str(exemplar)), Exemplar(str(exemplar), frame=1001)],
    )
    out = outputs(tmp_path, some)
    for frame, plate in some.items():
        session.submit(frame, str(plate), str(out[frame]))
    assert len(list(session.results())) == 4
    assert rig.differing(straight, out) == []


@pytest.mark.parametrize("kind", ["display window", "bounding box"])
def test_an_exemplar_file_under_overscan_lies_where_colormnet_colorize_lays_it(
    rig, client, fork_server, shot, settings, tmp_path, kind
):
    """The plates' data window is larger than the display window; a still of either part of it shows the same frame."""
    plates, exemplar, straight = shot
    some = {frame: plates[frame] for frame in sorted(plates)[:3]}
    codes = cv2.imread(str(exemplar))
    still = tmp_path / ("still.png" if kind == "display window" else "still.exr")
    if kind == "display window":
        assert cv2.imwrite(str(still), codes[2:-2, 4:-4])
    else:
        light = np.ascontiguousarray(codes[8:-3, 5:-9, ::-1], np.float32) / 255
        light = np.where(light <= 0.04045, light / 12.92, ((light + 0.055) / 1.055) ** 2.4).astype(np.float32)
        spec = oiio.ImageSpec(light.shape[1], light.shape[0], 3, "float")
        spec.x, spec.y = 1, 6
        spec.full_x, spec.full_y, spec.full_width, spec.full_height = 0, 0, rig.WIDTH - 8, rig.HEIGHT - 4
        out = oiio.ImageOutput.create(str(still))
        assert out.open(str(still), spec), out.geterror()
        assert out.write_image(np.ascontiguousarray(light))
        out.close()
    specs = (rig.ExemplarSpec(str(still), None, 1001),)
    laid = rig.straight_run(fork_server, some, specs, tmp_path / "laid", frames="1001-1003")
    session = client.open_session(kind, settings, sorted(some), [Exemplar(str(still), frame=1001)])
    out = outputs(tmp_path, some)
    for frame, plate in some.items():
        session.submit(frame, str(plate), str(out[frame]))
    assert len(list(session.results())) == 3
    notes = session.status().notes
    assert any("lies on the plate's display window 88x60" in note for note in notes), notes
    assert not any("does not show" in note for note in notes), notes
    assert rig.differing(laid, out) == []
    assert rig.differing({1002: straight[1002]}, out) == [1002]  # it is another exemplar than the whole frame


def test_layers_equal_colormnet_colorize(rig, client, fork_server, shot, settings, tmp_path):
    plates, exemplar, _ = shot
    some = {frame: plates[frame] for frame in sorted(plates)[:2]}
    spec = rig.ExemplarSpec(str(exemplar), None, 1001)
    straight = rig.straight_run(
        fork_server, some, (spec,), tmp_path / "s", frames="1001-1002", outputs="both", confidence=True
    )
    wanted = settings._replace(layers=("a", "b", "confidence"))
    session = client.open_session("layers", wanted, sorted(some), [Exemplar(str(exemplar), frame=1001)])
    out = outputs(tmp_path, some)
    for frame, plate in some.items():
        session.colorize(frame, str(plate), str(out[frame]))
    assert rig.differing(straight, out) == []


@pytest.mark.parametrize("layout", ["interleaved", "planar"])
def test_buffers_of_every_kind(rig, client, shot, settings, layout):
    """The chroma put on a buffer is that put on a file; alpha comes back to the bit; both ways of transport agree."""
    with Client(client.launcher, use_mmap=False) as inline:
        for channels, dtype in ((1, "float"), (2, "half"), (3, "half"), (4, "float")):
            check_buffers(rig, client, inline, shot, settings, channels, dtype, layout)


def check_buffers(rig, client, inline, shot, settings, channels, dtype, layout):
    kind = np.float16 if dtype == "half" else np.float32
    rng = np.random.default_rng(channels)
    grey = rng.random((rig.HEIGHT, rig.WIDTH, 1)) * 2 - 0.1
    planes = {1: [grey], 2: [grey, grey[::-1]], 3: [grey] * 3, 4: [*[grey] * 3, grey[::-1]]}[channels]
    packed = np.concatenate(planes, -1).astype(kind)
    data = np.ascontiguousarray(np.moveaxis(packed, -1, 0) if layout == "planar" else packed)
    pixels = Pixels(rig.WIDTH, rig.HEIGHT, channels, dtype, layout)
    session = client.open_session(f"{channels}", settings, [1, 2], [Exemplar(str(shot[1]))])
    answer = session.colorize(1, Image(data.tobytes(), pixels)).image
    other = inline.open_session(f"{channels}", settings, [1, 2], [Exemplar(str(shot[1]))])
    assert bytes(other.colorize(1, Image(data.tobytes(), pixels)).image.data) == bytes(answer.data), pixels
    assert answer.pixels.channels == {1: 3, 2: 4, 3: 3, 4: 4}[channels]
    shape = (answer.pixels.channels, rig.HEIGHT, rig.WIDTH)
    out = np.frombuffer(answer.data, kind)
    out = out.reshape(shape) if layout == "planar" else np.moveaxis(out.reshape(*shape[1:], shape[0]), -1, 0)
    if channels in (2, 4):
        assert np.array_equal(out[3], packed[..., -1]), pixels
    weights = np.array([0.2126, 0.7152, 0.0722])
    luminance = np.tensordot(weights, out[:3].astype(np.float64), 1)
    assert np.abs(luminance - packed[..., 0].astype(np.float64)).max() < 4e-3, pixels
    assert np.ptp(out[:3].astype(np.float64), axis=0).max() > 0.005, pixels  # there is colour


def test_two_sessions_take_turns(rig, client, launcher, shot, settings, tmp_path):
    """A long replay of one session does not hold up the other's next frame."""
    plates, exemplar, _ = shot
    exemplars = [Exemplar(str(exemplar), frame=1001)]
    launcher.hold = rig.Hold(tmp_path / "hold", "step", 2, 14)
    one = client.open_session("one", settings, sorted(plates), exemplars)
    two = client.open_session("two", settings, sorted(plates), exemplars)
    for frame, plate in plates.items():
        one.supply(frame, str(plate))
    two.colorize(1001, str(plates[1001]), str(tmp_path / "warm.exr"))
    long = one.submit(1012, str(plates[1012]), str(tmp_path / "long.exr"))
    launcher.hold.wait(2)
    short = two.submit(1002, str(plates[1002]), str(tmp_path / "short.exr"))
    client.status()  # the worker reads in order: it has got the request
    launcher.hold.go(2)
    launcher.hold.wait(14)  # the last step of all
    assert short.result(timeout=120).frame == 1002
    assert not long.done()
    launcher.hold.go(14)
    assert long.result().frame == 1012


def test_a_cancelled_replay_ends_and_the_session_goes_on(rig, client, launcher, shot, settings, tmp_path):
    plates, _, straight = shot
    launcher.hold = rig.Hold(tmp_path / "hold", "step", 6)
    session = opened(client, rig, shot, settings)
    for frame, plate in plates.items():
        session.supply(frame, str(plate))
    stages = []

    def stop_soon(said):
        stages.append(said.stage)
        return said.stage != "replaying"

    with pytest.raises(WorkerError) as caught:
        session.colorize(1012, str(plates[1012]), str(tmp_path / "no.exr"), progress=stop_soon)
    assert caught.value.code == "cancelled"
    assert "replaying" in stages
    launcher.hold.go(6)
    session.colorize(1012, str(plates[1012]), str(tmp_path / "yes.exr"))
    assert rig.picture(tmp_path / "yes.exr") == rig.picture(straight[1012])
    assert not (tmp_path / "no.exr").exists()


def test_settings_that_cannot_be_meant_are_refused_with_a_sentence(client, rig, shot, settings):
    plates, exemplar, _ = shot
    exemplars = [Exemplar(str(exemplar))]
    for wrong, word in [
        (settings._replace(space=""), "colour space"),
        (settings._replace(model="other"), "model"),
        (settings._replace(saturation=-1.0), "saturation"),
        (settings._replace(working_size=3), "working size"),
        (settings._replace(layers=("z",)), "layers"),
        (settings._replace(every="5"), "every"),
    ]:
        with pytest.raises(WorkerError, match=word) as caught:
            client.open_session("wrong", wrong, sorted(plates), exemplars)
        assert caught.value.code == "input"
    with pytest.raises(WorkerError, match="7777"):
        client.open_session("wrong", settings, sorted(plates), [Exemplar(str(exemplar), frame=7777)])
    with pytest.raises(WorkerError, match="nowhere"):
        client.open_session("wrong", settings, sorted(plates), [Exemplar("/nowhere/at/all.png")])


def test_the_plate_is_never_the_output_and_paths_are_literal(client, rig, shot, settings, tmp_path):
    plates, exemplar, straight = shot
    odd = tmp_path / "$(touch pwned) #### %04d @@@@.exr"
    shutil.copy(plates[1001], odd)
    before = odd.read_bytes()
    session = client.open_session("odd", settings, sorted(plates), [Exemplar(str(exemplar), frame=1001)])
    with pytest.raises(WorkerError, match="plate itself"):
        session.colorize(1001, str(odd), str(odd))
    link = tmp_path / "link.exr"
    link.hardlink_to(odd)
    with pytest.raises(WorkerError, match="input"):
        session.colorize(1001, str(odd), str(link))
    assert odd.read_bytes() == before
    out = tmp_path / "out %d #.exr"
    session.colorize(1001, str(odd), str(out))
    assert rig.picture(out) == rig.picture(straight[1001])
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == sorted([odd.name, link.name, out.name])
    with pytest.raises(WorkerError, match="not there"):
        session.colorize(1002, str(tmp_path / "absent.exr"), str(tmp_path / "x.exr"))
    with pytest.raises(WorkerError, match="EXR"):
        session.colorize(1001, str(odd), str(tmp_path / "x.png"))


def test_sessions_survive_a_stop_and_can_be_listed_and_forgotten(rig, client, shot, settings, tmp_path):
    plates, _, straight = shot
    session = opened(client, rig, shot, settings)
    out = outputs(tmp_path, plates)
    for frame in sorted(plates)[:6]:
        session.submit(frame, str(plates[frame]), str(out[frame]))
    list(session.results())
    assert client.stop()
    assert client.status() is None
    again = client.open_session("sh010", settings, sorted(plates))  # exemplars come from the disk
    assert again.generation == session.generation
    for frame in sorted(plates)[6:]:
        again.submit(frame, str(plates[frame]), str(out[frame]))
    assert not any(result.cached for result in again.results())
    assert rig.differing(straight, out) == []
    assert client._request({"type": "status"})["status"]["steps"] == 6  # nothing was computed twice
    [listed] = client.sessions()
    assert (listed["name"], listed["frames"], listed["open"]) == ("sh010", 12, True)
    status = again.status()
    assert status.done == tuple(sorted(plates))
    assert status.recommended_exemplar == min(
        (frame for frame in status.confidence if frame != 1001), key=status.confidence.get
    )
    client.forget_session("sh010")
    assert client.sessions() == ()
    with pytest.raises(WorkerError, match="exemplar"):
        client.open_session("sh010", settings, sorted(plates))


def test_freeing_the_device_drops_the_model_and_work_goes_on(rig, client, shot, settings, tmp_path):
    plates, _, straight = shot
    session = opened(client, rig, shot, settings)
    out = outputs(tmp_path, plates)
    for frame in sorted(plates)[:3]:
        session.colorize(frame, str(plates[frame]), str(out[frame]))
    assert client.status().models == ("lite",)
    assert client.free_gpu()
    assert client.status().models == ()
    for frame in sorted(plates)[3:5]:
        session.colorize(frame, str(plates[frame]), str(out[frame]))
    some = sorted(plates)[:5]
    assert rig.differing({f: straight[f] for f in some}, out) == []


def test_a_small_disk_limit_evicts_and_results_stay_right(rig, fork_server, places, shot, settings, tmp_path):
    plates, _, straight = shot
    limits = {"disk_bytes": 400_000, "live_states": 1, "snapshots": 2, "key_cache_bytes": 1}
    small = rig.ForkLauncher(fork_server, places, limits=limits)
    out = outputs(tmp_path, plates)
    with Client(small) as client:
        session = opened(client, rig, shot, settings, plates=lambda frame: str(plates[frame]))
        for frame in [*sorted(plates), 1003, 1009, 1002]:
            session.colorize(frame, str(plates[frame]), str(out[frame]))
        status = client.status()
        assert 0 < status.disk_bytes <= 400_000
        client.stop()
    assert rig.differing(straight, out) == []


def test_plates_of_two_sizes_are_told_apart(client, rig, shot, settings, tmp_path):
    plates, _, _ = shot
    session = opened(client, rig, shot, settings, plates=lambda frame: str(plates[frame]))
    session.colorize(1001, str(plates[1001]), str(tmp_path / "a.exr"))
    smaller = tmp_path / "small.exr"
    rig.write_exr(smaller, np.full((40, 60, 3), 0.2, np.float32), np.zeros((40, 60), np.float32), 1002)
    with pytest.raises(NeedFrames, match="one size"):
        session.colorize(1002, str(smaller), str(tmp_path / "b.exr"))
