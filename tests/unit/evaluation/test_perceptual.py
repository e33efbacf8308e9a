import lpips
import numpy as np
import pytest
import torch
from torch import nn

from colormnet.errors import WeightsError
from colormnet.evaluation import metrics
from colormnet.evaluation.methods import CopiedChroma, LeftGrey
from colormnet.evaluation.perceptual import (
    ALEXNET,
    I3D,
    INCEPTION,
    NotComputed,
    VideoFeatures,
    load_perceptual_metrics,
)
from colormnet.evaluation.protocol import _distance, _FeatureCollector, evaluate_clip


class ChannelMeans(nn.Module):
    """Stands in for I3D: the same call, and features whose statistics can be worked out."""

    def forward(self, x: torch.Tensor, rescale: bool, resize: bool, return_features: bool) -> torch.Tensor:
        return x.mean(dim=[2, 3, 4])


def save_alexnet(folder, seed=0):
    torch.manual_seed(seed)
    network = lpips.pretrained_networks.alexnet(pretrained=False)
    state = {"features." + name.split(".", 1)[1]: value for name, value in network.state_dict().items()}
    torch.save(state, folder / ALEXNET)
    return network


def noise(seed, shape=(64, 64, 3)):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_every_missing_network_says_what_and_where(no_metric_weights):
    found = load_perceptual_metrics()
    for metric, file in ((found.lpips, ALEXNET), (found.fid, INCEPTION), (found.fvd, I3D)):
        assert isinstance(metric, NotComputed)
        assert str(metric).startswith("not computed: weights ")
        assert f"missing, put them at {no_metric_weights / file}" in str(metric)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_lpips_uses_the_network_that_was_put_there(no_metric_weights):
    backbone = save_alexnet(no_metric_weights)
    ours = load_perceptual_metrics().lpips
    reference = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    reference.net.load_state_dict(backbone.state_dict())
    one, two = noise(1), noise(2)
    tensors = [torch.from_numpy(picture.transpose(2, 0, 1).copy())[None] / 127.5 - 1 for picture in (one, two)]
    with torch.no_grad():
        expected = float(reference(*tensors))
    assert expected > 0
    assert ours(one, two) == pytest.approx(expected, rel=1e-4)
    assert ours(one, one) == 0.0


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", None])
def test_a_file_that_is_not_the_network_is_an_error_not_a_number(no_metric_weights, content):
    if content is None:
        torch.save({"features.0.weight": torch.zeros(1)}, no_metric_weights / ALEXNET)
    else:
        (no_metric_weights / ALEXNET).write_bytes(content)
    with pytest.raises(WeightsError, match=ALEXNET):
        load_perceptual_metrics()


def test_an_inception_file_that_would_run_code_is_refused(no_metric_weights):
    import pickle

    class Trap:
        def __reduce__(self):
            return (open, (str(no_metric_weights / "sprung"), "w"))

    (no_metric_weights / INCEPTION).write_bytes(pickle.dumps(Trap()))
    with pytest.raises(WeightsError, match="FID"):
        load_perceptual_metrics()
    assert not (no_metric_weights / "sprung").exists()


def test_fvd_of_known_features_is_the_known_distance(no_metric_weights):
    torch.jit.save(torch.jit.script(ChannelMeans()), no_metric_weights / I3D)
    network = load_perceptual_metrics().fvd
    assert isinstance(network, VideoFeatures)
    generator = np.random.default_rng(5)
    levels = generator.integers(20, 200, (10, 3)).astype(np.uint8)
    truth = np.repeat(levels, 16, axis=0)[:, None, None, :] * np.ones((1, 8, 8, 1), np.uint8)
    result = truth + np.uint8(7)  # the mean moves by 7 in three channels, the spread stays
    features = [network(frames) for frames in (truth, result)]
    assert features[0].shape == (10, 3)
    assert np.allclose(features[0], levels)
    assert _distance(network, [features[0]], [features[1]], "pieces") == pytest.approx(3 * 49, rel=1e-3)


def test_fvd_takes_whole_sixteen_frame_pieces_of_the_counted_frames(no_metric_weights, panning, make_clip):
    torch.jit.save(torch.jit.script(ChannelMeans()), no_metric_weights / I3D)
    perceptual = load_perceptual_metrics()
    frames = np.concatenate([panning.truth, panning.truth, panning.truth])[:35]
    run = evaluate_clip(CopiedChroma(), make_clip(frames), perceptual=perceptual)
    assert run.video_features.shape == (2, 3)  # 34 counted frames
    assert run.frame_features is None
    grey = evaluate_clip(LeftGrey(), make_clip(frames), perceptual=perceptual)
    assert np.ptp(grey.video_features, axis=1).max() < 1.0  # its three channel means are alike


def test_too_few_pieces_are_words(no_metric_weights):
    torch.jit.save(torch.jit.script(ChannelMeans()), no_metric_weights / I3D)
    network = load_perceptual_metrics().fvd
    value = _distance(network, [np.zeros((1, 3), np.float32)], [np.zeros((1, 3), np.float32)], "16-frame pieces")
    assert str(value).startswith("not computed: the set has 1 16-frame pieces")


@pytest.fixture
def inception(no_metric_weights, monkeypatch):
    """The FID network with random weights, saved as the file that is looked for."""
    from torch_fidelity import feature_extractor_inceptionv3 as package

    torch.manual_seed(0)
    with monkeypatch.context() as patch:
        patch.setattr(package, "load_state_dict_from_url", lambda *args, **options: {})
        patch.setattr(package.FeatureExtractorInceptionV3, "load_state_dict", lambda self, state: None)
        network = package.FeatureExtractorInceptionV3("inception-v3-compat", ["2048"])
    torch.save(network.state_dict(), no_metric_weights / INCEPTION)
    return network


def test_fid_features_are_those_of_the_network_that_was_put_there(inception):
    perceptual = load_perceptual_metrics()
    collector = _FeatureCollector(perceptual)
    pictures = [noise(seed, (40, 48, 3)) for seed in range(3)]
    for picture in pictures:
        collector.add(picture)
    features, videos = collector.features()
    expected = inception(torch.from_numpy(np.stack(pictures).transpose(0, 3, 1, 2).copy()))[0].numpy()
    assert features.shape == (3, 2048)
    assert np.allclose(features, expected, rtol=1e-4, atol=1e-5)
    assert videos is None
    assert metrics.frechet_distance(features[:, :32], features[:, :32]) == pytest.approx(0, abs=1e-6)
