"""Every shift: nothing at severity 0, more with severity, the same with the seed, masks where they belong."""

from dataclasses import replace

import numpy as np
import pytest

from bnadapt.data import DomainPair, Shifted, Synthetic
from bnadapt.data.image_shifts import SHIFTS, shifted
from bnadapt.errors import InputError

GREY = [name for name, shift in SHIFTS.items() if not shift.needs_colour]
GEOMETRIC = ("crop", "scale", "rotation", "shear", "elastic")


def image(colour=False):
    """Blobs at 0.65 on 0.35, with their mask."""
    domain = Synthetic(size=96, mean=(0.65, 0.35), std=(0.05, 0.05))
    grey = domain.image(0)
    return np.stack([grey, grey * 0.8, grey * 0.5], -1) if colour else grey, domain._mask(0)


@pytest.mark.parametrize("name", SHIFTS)
def test_nothing_changes_at_severity_0(name):
    before, mask = image(SHIFTS[name].needs_colour)
    after, same = shifted(before, mask, name, 0, 0)
    np.testing.assert_array_equal(after, before)
    np.testing.assert_array_equal(same, mask)


@pytest.mark.parametrize("name", [name for name in SHIFTS if not SHIFTS[name].averages_sections])
def test_stronger_shifts_change_more_and_stay_in_range(name):
    before, mask = image(SHIFTS[name].needs_colour)
    changes = []
    for severity in SHIFTS[name].severities:
        after, _ = shifted(before, mask, name, severity, 3)
        assert after.shape == before.shape
        assert after.dtype == np.float32
        assert after.min() >= 0
        assert after.max() <= 1
        assert after.std() > 0.005
        changes.append(np.abs(after - before).mean())
    assert changes[0] > 1e-3
    assert changes[-1] > 1.5 * changes[0] or name in GEOMETRIC


@pytest.mark.parametrize("name", GREY)
def test_the_seed_alone_decides_and_the_mask_does_not(name):
    before, mask = image()
    strong = SHIFTS[name].severities[2]
    with_mask, _ = shifted(before, mask, name, strong, 5)
    without_mask, none = shifted(before, None, name, strong, 5)
    assert none is None
    np.testing.assert_array_equal(with_mask, without_mask)


@pytest.mark.parametrize("name", ["white noise", "poisson noise", "elastic", "charging", "curtaining", "illumination"])
def test_another_seed_gives_another_image(name):
    before, mask = image()
    one, other = (shifted(before, mask, name, SHIFTS[name].severities[2], seed)[0] for seed in (1, 2))
    assert np.abs(one - other).mean() > 1e-3


@pytest.mark.parametrize("name", GREY)
def test_masks_move_with_geometry_and_only_then(name):
    before, mask = image()
    after, moved = shifted(before, mask, name, SHIFTS[name].severities[2], 1)
    assert moved.dtype == mask.dtype
    assert set(np.unique(moved)) <= {0, 1}
    if name in GEOMETRIC:
        assert (moved != mask).mean() > 0.01
        foreground, background = after[moved == 1].mean(), after[moved == 0].mean()
        assert foreground - background > 0.2
    else:
        np.testing.assert_array_equal(moved, mask)


def test_known_answers():
    before, mask = image()
    np.testing.assert_allclose(shifted(before, mask, "brightness", 0.1, 0)[0], np.clip(before + 0.1, 0, 1), atol=1e-6)
    np.testing.assert_allclose(shifted(before, mask, "inversion", 1.0, 0)[0], 1 - before, atol=1e-6)
    low = shifted(before, mask, "contrast", 0.5, 0)[0]
    assert low.std() == pytest.approx(before.std() / 2, rel=1e-3)
    assert low.mean() == pytest.approx(before.mean(), rel=1e-3)
    noisy = shifted(np.full((200, 200), 0.5, np.float32), None, "white noise", 0.1, 0)[0]
    assert noisy.std() == pytest.approx(0.1, rel=0.02)
    counted = shifted(np.full((200, 200), 0.5, np.float32), None, "poisson noise", 0.1, 0)[0]
    assert counted.std() == pytest.approx(0.1 * 0.5**0.5, rel=0.05)
    larger = shifted(before, mask, "crop", 0.5, 0)[1]
    np.testing.assert_allclose(larger.mean(), mask[24:72, 24:72].mean(), atol=0.05)


def test_a_domain_under_a_shift_is_a_domain():
    plain = Synthetic(size=64, images=8, seed=3)
    domain = Shifted(plain, "rotation", 45)
    assert domain.name == "synthetic, rotation 45"
    assert [section.name for section in domain.labelled()] == [section.name for section in plain.labelled()]
    section, other = domain.labelled()[0], plain.labelled()[0]
    assert np.abs(section.read_image() - np.clip(other.read_image(), 0, 1)).mean() > 0.05
    assert (section.read_mask() != other.read_mask()).any()
    pair = DomainPair(target=domain, tile_size=32)
    (loader,) = pair.test_dataloader()
    assert next(iter(loader))["mask"].shape[1:] == (32, 32)
    assert all(section.read_mask is None for section in domain.adaptation())


def test_images_of_a_shifted_domain_are_read_without_masks(monkeypatch):
    plain = Synthetic(size=64, images=8, mean=(0.65, 0.35))

    def forbidden(index):
        raise AssertionError("a mask was read")

    domain = Shifted(plain, "scale", 0.3)
    labelled = domain.labelled()
    shown = [section.read_image() for section in labelled]
    monkeypatch.setattr(
        plain,
        "labelled",
        lambda: [
            type(section)(section.name, lambda image=image: image, lambda: forbidden(0))
            for section, image in zip(
                Synthetic.labelled(plain), [s.read_image() for s in Synthetic.labelled(plain)], strict=True
            )
        ],
    )
    for image, section in zip(shown, domain.labelled(), strict=True):
        np.testing.assert_array_equal(section.read_image(), image)
    with pytest.raises(AssertionError, match="a mask was read"):
        domain.labelled()[0].read_mask()


def test_thickness_averages_neighbouring_sections():
    plain = Synthetic(size=32, images=6, mean=(0.6, 0.4), std=(0.02, 0.02))
    images = [np.clip(section.read_image(), 0, 1) for section in plain.labelled()]
    thick = [section.read_image() for section in Shifted(plain, "thickness", 1).labelled()]
    np.testing.assert_allclose(thick[2], np.mean(images[1:4], 0), atol=1e-6)
    np.testing.assert_allclose(thick[0], np.mean(images[:2], 0), atol=1e-6)


def test_thick_images_to_adapt_to_show_no_section_of_the_test_block():
    plain = Synthetic(size=32, images=20, split=(0.6, 0.2, 0.2))
    assert len(Shifted(plain, "thickness", 4).adaptation()) == 12
    domain = Shifted(plain, "thickness", 5)
    for read in (domain.adaptation, lambda: domain.block("test")):
        with pytest.raises(InputError, match="averages 5 sections on either side, but only 4 lie between"):
            read()


def test_refusals():
    with pytest.raises(InputError, match="unknown shift 'nosuch'; take one of brightness"):
        Shifted(Synthetic(), "nosuch", 1)
    with pytest.raises(InputError, match="severity is -1; give 0"):
        Shifted(Synthetic(), "blur", -1)
    with pytest.raises(InputError, match="needs three channels"):
        shifted(image()[0], None, "hue", 10, 0)


@pytest.mark.parametrize("shift", ["white noise", "poisson noise"])
def test_images_alike_get_noise_of_their_own(shift):
    class Alike(Synthetic):
        def labelled(self):
            first, *others = super().labelled()
            return [first, *(replace(first, name=each.name) for each in others)]

    sections = Shifted(Alike(size=32, images=2), shift, 0.2).labelled()
    one, other = (section.read_image().astype(float) for section in sections)
    noise = [image - Shifted(Alike(size=32, images=2), shift, 0).labelled()[0].read_image() for image in (one, other)]
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.2
