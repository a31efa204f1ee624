"""Problems with a target that a person should know about before trusting a prediction on it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from bnadapt.gain.features import View, distance_after
from bnadapt.gain.predictions import STATISTICS, thickness
from bnadapt.gain.source_summary import Intensities, SourceSummary

SUSPECTED = 0.5  # probability of exchanged bright and dark
NEARER = 0.3  # decrease of the log residual distance from which on another pixel size is suspected
THIN = 0.45  # of the thickness on the source; of 330 predictions on real targets that have objects, none is thinner
EMPTY = 1e-3  # share of the pixels that counts as none
OUTSIDE = 0.05  # share of the pixels that may exceed the source's intensities
LAG, LEAST = 4, 0.05  # pixels, and their least correlation; in electron micrographs it is 0.4 to 0.9
NOISE, INVERSION, PIXEL_SIZE = "noise", "inverted contrast", "pixel size"


@dataclass(frozen=True)
class Alarm:
    """A problem that a person should look at: a short name of its kind, and a sentence with what to do."""

    name: str
    sentence: str


def noise(view: View) -> str | None:
    """Pixels a few apart are uncorrelated, so that there is nothing larger to segment."""
    images = view.unadapted.outputs.images.double()
    if min(images.shape[2:]) <= LAG:
        return None
    centred = images - images.mean((2, 3), keepdim=True)
    right = (centred[..., LAG:] * centred[..., :-LAG]).mean()
    below = (centred[..., LAG:, :] * centred[..., :-LAG, :]).mean()
    correlation = float((right + below) / 2 / centred.square().mean().clamp(min=1e-12))
    if correlation >= LEAST:
        return None
    return (
        f"The images look like noise: pixels {LAG} apart are correlated to {correlation:.2f}, in electron micrographs"
        " to more than 0.4; look at them, and at their pixel size."
    )


def pixel_size(view: View) -> str | None:
    """Another size of the images resembles the source more."""
    unchanged = distance_after(View(view.source, view.results, view.adapted))
    margins = {
        each.candidate.zoom: distance_after(View(view.source, view.results, each)) - unchanged
        for each in view.results.by_name.values()
        if each.candidate.zoom != 1
    }
    zoom = min(margins, key=margins.get, default=1.0)
    if not margins or margins[zoom] > -NEARER:
        return None
    return (
        f"The pixel size may be off: with images {'enlarged' if zoom > 1 else 'shrunk'} to {zoom:.0%} the target lies"
        f" nearer to the source (log distance {margins[zoom]:+.2f}); check the pixel sizes of both."
    )


def collapsed_prediction(view: View) -> str | None:
    """Nearly all pixels are predicted as one class."""
    share = STATISTICS["foreground"](view.result.outputs)
    if EMPTY <= share <= 1 - EMPTY:
        return None
    return (
        f"Nearly {'nothing' if share < EMPTY else 'everything'} is predicted as foreground ({share:.2%} of the pixels);"
        " do not trust it unless you know that to be so."
    )


def specks(view: View) -> str | None:
    """Objects are much thinner than on the source."""
    return specks_in(view.result.outputs.classes, view.source)


def specks_in(classes: Tensor, source: SourceSummary) -> str | None:
    """The alarm of predicted classes (n, h, w); None if there is hardly any foreground."""
    ratio = thickness(classes) / max(source.statistics["width"], EMPTY)
    if ratio >= THIN or float((classes > 0).double().mean()) < EMPTY:
        return None
    return (
        f"What is predicted is {ratio:.0%} as thick as on the source: specks, which a network predicts where there is"
        " nothing to find, or on images that it does not fit; look at the predictions before you trust them."
    )


def single_tile(view: View) -> str | None:
    """Only one tile was examined."""
    if len(view.results.tiles) > 1:
        return None
    return "A single tile was looked at, and others may differ from it; give more."


def foreign_intensities(view: View) -> str | None:
    """Many pixels are darker or brighter than any of the source."""
    source = view.source.intensities
    images = view.unadapted.outputs.images
    share = float(((images < source.low) | (images > source.high)).double().mean())
    if share <= OUTSIDE:
        return None
    return (
        f"{share:.0%} of the pixels are darker or brighter than all but 1 in 1000 of the source's; check the scaling of"
        " intensities."
    )


ALARMS: Mapping[str, Callable[[View], str | None]] = {
    NOISE: noise,
    PIXEL_SIZE: pixel_size,
    "collapsed prediction": collapsed_prediction,
    "specks": specks,
    "single tile": single_tile,
    "foreign intensities": foreign_intensities,
}


def alarms_of(view: View, exchanged: float) -> list[Alarm]:
    """All alarms for a candidate; on noise, none that rests on what images show.

    Args:
        view: the candidate, compared with the source.
        exchanged: probability that bright and dark are exchanged.
    """
    sentences = {INVERSION: inverted_contrast(exchanged)} | {name: alarm(view) for name, alarm in ALARMS.items()}
    ignored = (INVERSION, PIXEL_SIZE) if sentences[NOISE] else ()
    return [Alarm(name, sentence) for name, sentence in sentences.items() if sentence and name not in ignored]


def inverted_contrast(exchanged: float) -> str | None:
    """Bright and dark are more likely exchanged than not."""
    if exchanged < SUSPECTED:
        return None
    return (
        f"Bright and dark may be exchanged (probability {exchanged:.0%}, unsure where there is little or much"
        " foreground): look at an image of the source and at one of the target."
    )


def differences(view: View) -> list[str]:
    """How the target's intensities differ from the source's, such as `is darker`."""
    source, target = view.source.intensities, Intensities.of(view.unadapted.outputs.images)
    shift, spread = (target.mean - source.mean) / max(source.std, 1e-9), target.std / max(source.std, 1e-9)
    looks = []
    if abs(shift) > 0.5:
        looks.append("brighter" if shift > 0 else "darker")
    if spread < 0.67 or spread > 1.5:
        looks.append("of lower contrast" if spread < 1 else "of higher contrast")
    return [f"is {' and '.join(looks)}"] if looks else []
