"""What a network has learnt from is recognised by its pixels, and not scored."""

import numpy as np
import pytest

from bnadapt.data import DomainPair, Folder, Section, Synthetic
from bnadapt.data.drawn_tiles import Place
from bnadapt.data.learnt_areas import LearntArea, as_areas, as_plain, covered, unlearnt
from bnadapt.errors import InputError
from tests.conftest import write_images

IMAGE = np.random.default_rng(0).integers(0, 255, (40, 50), np.uint8)
AREA = LearntArea.at(Place("a.png", range(10, 20), range(5, 25)), IMAGE)


def section(name, image=IMAGE):
    return Section(name, lambda: image, lambda: np.ones(image.shape[:2], np.uint8))


def test_the_same_pixels_are_left_out_under_any_name_and_others_stay():
    other = IMAGE.copy()
    other[12, 7] ^= 1
    same, changed, smaller = unlearnt(
        [section("b.png"), section("a.png", other), section("c.png", IMAGE[:15])], [AREA], "mine"
    )
    mask = same.read_mask()
    assert (mask[AREA.window] == 255).all()
    assert (mask == 1).sum() == mask.size - 10 * 20
    assert (changed.read_mask() == 1).all()
    assert (smaller.read_mask() == 1).all()


def test_nothing_left_to_score_is_refused():
    whole = LearntArea.at(Place("a.png", range(40), range(50)), IMAGE)
    with pytest.raises(InputError, match="mine: the network has learnt from all that is labelled"):
        unlearnt([section("a.png")], [whole], "mine")


def test_areas_travel_with_the_checkpoint_and_damaged_ones_are_refused():
    assert as_areas(as_plain([AREA])) == [AREA]
    data = DomainPair(target=Synthetic(size=48, images=2))
    data.learnt_areas = [AREA]
    later = DomainPair(target=Synthetic(size=48, images=2))
    later.load_state_dict(data.state_dict())
    assert later.learnt_areas == [AREA]
    for damaged in (5, [5], [{"top": 0}], [{**as_plain([AREA])[0], "top": -1}], [{**as_plain([AREA])[0], "left": "0"}]):
        with pytest.raises(InputError, match="areas that it has learnt from is damaged"):
            as_areas(damaged)


def test_scores_at_another_pixel_size_leave_out_the_same_part(tmp_path):
    folder = write_images(tmp_path / "mine", count=5)
    target = Folder(folder / "images", folder / "masks", pixel_size_nm=10, split=(0, 0, 1))
    data = DomainPair(target=target, intensity="dtype", tile_size=24, overlap=0, pixel_size_nm=20)
    first = target.labelled()[0]
    data.learnt_areas = [LearntArea.at(Place(first.name, range(24), range(48)), first.read_image())]
    (loader,) = data.test_dataloader()
    ignored = [(loader.dataset[number]["mask"] == 255).float().mean().item() for number in range(5)]
    assert ignored == pytest.approx([0.5, 0, 0, 0, 0], abs=0.05)


def test_the_last_pixels_of_an_image_are_covered():
    corner = LearntArea.at(Place("a.png", range(30, 40), range(40, 50)), IMAGE)
    inside = covered(IMAGE, [corner, AREA])
    assert inside.sum() == 100 + 200
    assert inside[-1, -1]
