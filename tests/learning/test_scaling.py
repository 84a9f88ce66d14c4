from lymphct.learning.scaling import scale_network, scale_size
from lymphct.learning.settings import UNetSettings

PAPER = (0.68, 0.68, 0.8)
PATCH = (160, 192, 80)


def test_at_the_paper_spacing_nothing_changes() -> None:
    scaled = scale_network(UNetSettings(), PATCH, PAPER, PAPER)
    assert (scaled.patch_size, scaled.unet) == (PATCH, UNetSettings())


def test_at_2_mm_four_resolutions_remain_and_the_patch_keeps_its_extent() -> None:
    # 54.4, 65.3, 25.6 voxels; five resolutions would leave 32/16 = 2 voxels along k.
    scaled = scale_network(UNetSettings(), PATCH, PAPER, (2.0, 2.0, 2.5))
    assert scaled.patch_size == (56, 72, 32)
    assert scaled.unet.features == (32, 64, 128, 256)
    assert scaled.unet.strides == UNetSettings().strides[:4]


def test_two_resolutions_always_remain() -> None:
    scaled = scale_network(UNetSettings(), PATCH, PAPER, (40.0, 40.0, 40.0))
    assert len(scaled.unet.features) == 2
    assert scaled.patch_size == (4, 4, 2)


def test_a_residual_encoder_stays_one() -> None:
    scaled = scale_network(UNetSettings(encoder="residual"), PATCH, PAPER, (2.0, 2.0, 2.5))
    assert scaled.unet.encoder == "residual"


def test_sizes_round_up_to_the_multiple() -> None:
    assert scale_size((96, 96, 80), PAPER, (2.0, 2.0, 2.5)) == (33, 33, 26)
    assert scale_size((96, 96, 80), PAPER, (2.0, 2.0, 2.5), (8, 8, 4)) == (40, 40, 28)
    assert scale_size((96, 96, 80), PAPER, PAPER, (1, 1, 1)) == (96, 96, 80)
