"""Packages of bioimage.io: weights as state dict and TorchScript, with test images and the target's normalisation."""

import re
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bnadapt import __version__
from bnadapt.errors import InputError
from bnadapt.exchange.exported import Export
from bnadapt.exchange.package_weights import described_like
from bnadapt.exchange.traced_files import traced
from bnadapt.networks.registry import is_import_path

STEP = 16  # step in pixels of image sides; the network pads them
SMALLEST = 32
NO_NAME = r"[^a-zA-Z0-9_+() -]"  # characters not allowed in names of models
ADABN = "Li et al., Revisiting Batch Normalization For Practical Domain Adaptation, 2016"


def write(export: Export, path: Path) -> None:
    """Write a new package and test it by `bioimageio.core`; or an existing one with the network's weights.

    Raises:
        InputError: libraries, authors or licence are missing, the test fails, or the existing package names what it
            must not, see `bnadapt.networks.trust`.
    """
    if find_spec("bioimageio") is None or find_spec("bioimageio.core") is None:
        raise InputError("export: packages of bioimage.io need bioimageio.core; pip install 'bnadapt[share]'.")
    with _silence(), tempfile.TemporaryDirectory() as folder:
        (_write_new if export.like is None else _write_like)(export, Path(folder), path)


def _write_new(export: Export, folder: Path, path: Path) -> None:
    from bioimageio.spec import save_bioimageio_package

    if export.about is None or not export.about.authors:
        raise InputError(
            "export: a package needs authors and a licence; give --about.authors '[\"NAME\"]' and"
            " --about.license, such as CC-BY-4.0."
        )
    try:
        save_bioimageio_package(_described(export, folder), output_path=path)
    except ValueError as error:  # of pydantic, with its reason
        raise InputError(f"export: {_first_words(error)}; check --about.") from error
    report = report_on(path)
    if report.status != "passed":
        raise InputError(f"export: the package fails the test of bioimageio.core: {_first_error(report)}")


def _write_like(export: Export, folder: Path, path: Path) -> None:
    from bioimageio.spec import ValidationContext, save_bioimageio_package

    try:
        with ValidationContext(perform_io_checks=False):  # these checks would fetch all addresses in a package
            save_bioimageio_package(described_like(export, folder), output_path=path, local_files_only=True)
    except InputError:
        raise
    except (ValueError, OSError, RuntimeError) as error:
        raise InputError(
            f"{export.like}: cannot be rewritten ({_first_words(error)}); take another package."
        ) from error


def report_on(path: Path) -> Any:
    """Report of bioimageio.core's test of a package, for all its weights."""
    from bioimageio.core import test_description

    return test_description(path, devices=["cpu"])


def _described(export: Export, folder: Path) -> Any:
    """The description of a model, with its files in a folder."""
    from bioimageio.spec.model import v0_5

    about, pixels = export.about, export.sample
    np.save(folder / "pixels.npy", pixels)
    np.save(folder / "probabilities.npy", export.expected(pixels))
    (folder / "README.md").write_text(document(export), encoding="utf-8")
    _draw(export, folder / "cover.png")
    name = about.name or re.sub(NO_NAME, " ", f"{export.parameters['network']} adapted to {export.target}")[:64]
    return v0_5.ModelDescr(
        name=name,
        description=about.description or f"Segments {', '.join(export.classes[1:])} in electron-microscopy images",
        authors=[v0_5.Author(name=each) for each in about.authors],
        license=about.license,
        cite=[_cited(each) for each in (*about.cite, f"{ADABN} [https://arxiv.org/abs/1603.04779]")],
        documentation=v0_5.FileDescr(source=folder / "README.md"),
        covers=[v0_5.FileDescr(source=folder / "cover.png")],
        tags=["electron-microscopy", "semantic-segmentation", "domain-adaptation", "pytorch"],
        inputs=[_input(export, folder)],
        outputs=[_output(export, folder)],
        weights=_weights(export, folder),
        config=v0_5.Config(bnadapt={"intensity": export.data.intensity}),
    )


def _input(export: Export, folder: Path) -> Any:
    from bioimageio.spec.model import v0_5

    size = v0_5.ParameterizedSize(min=SMALLEST, step=STEP)
    channels = v0_5.ChannelAxis(channel_names=[f"channel{number}" for number in range(export.sample.shape[1])])
    space = [v0_5.SpaceInputAxis(id=name, size=size, **_scale(export)) for name in ("y", "x")]
    return v0_5.InputTensorDescr(
        id="pixels",
        description="Pixel values as stored in image files",
        axes=[v0_5.BatchAxis(), channels, *space],
        test_tensor=v0_5.FileDescr(source=folder / "pixels.npy"),
        preprocessing=_preprocessing(export),
    )


def _preprocessing(export: Export) -> list[Any]:
    """The fixed scaling as preprocessing of bioimage.io."""
    from bioimageio.spec.model import v0_5

    scaling, typed = export.scaling, v0_5.EnsureDtypeDescr(kwargs=v0_5.EnsureDtypeKwargs(dtype="float32"))
    if scaling.is_identity:  # which the specification does not allow
        return [typed]
    single = len(scaling.gain) == 1
    numbers = (
        v0_5.ScaleLinearKwargs(gain=scaling.gain[0], offset=scaling.offset[0])
        if single
        else v0_5.ScaleLinearAlongAxisKwargs(axis="channel", gain=list(scaling.gain), offset=list(scaling.offset))
    )
    steps: list[Any] = [v0_5.ScaleLinearDescr(kwargs=numbers)]
    if scaling.is_clipped:
        steps.append(v0_5.ClipDescr(kwargs=v0_5.ClipKwargs(min=scaling.low, max=scaling.high)))
    return [*steps, typed]


def _output(export: Export, folder: Path) -> Any:
    from bioimageio.spec.model import v0_5

    space = [
        v0_5.SpaceOutputAxis(id=name, size=v0_5.SizeReference(tensor_id="pixels", axis_id=name), **_scale(export))
        for name in ("y", "x")
    ]
    return v0_5.OutputTensorDescr(
        id="probabilities",
        description="Probability of every class",
        axes=[v0_5.BatchAxis(), v0_5.ChannelAxis(channel_names=[_identifier(each) for each in export.classes]), *space],
        test_tensor=v0_5.FileDescr(source=folder / "probabilities.npy"),
        data=v0_5.IntervalOrRatioDataDescr(type="float32", range=(0.0, 1.0)),
    )


def _weights(export: Export, folder: Path) -> Any:
    from bioimageio.spec.model import v0_5

    module, version = export.probabilities, torch.__version__.partition("+")[0]
    traced(module, export.sample.shape[1]).save(str(folder / "weights.pt"))
    script = v0_5.TorchscriptWeightsDescr(source=folder / "weights.pt", pytorch_version=version)
    if is_import_path(export.parameters["network"]):  # code that no package may name, see bnadapt.networks.trust
        return v0_5.WeightsDescr(torchscript=script)
    torch.save(module.state_dict(), folder / "weights.pth")
    (folder / "environment.yaml").write_text(
        f"name: bnadapt\nchannels: [conda-forge]\ndependencies: [python=3.12, pip, pip: [bnadapt=={__version__}]]\n",
        encoding="utf-8",
    )
    names = {name: export.parameters[name] for name in ("network", "in_channels", "num_classes")}
    return v0_5.WeightsDescr(
        pytorch_state_dict=v0_5.PytorchStateDictWeightsDescr(
            source=folder / "weights.pth",
            architecture=v0_5.ArchitectureFromLibraryDescr(
                callable="probabilities_of",
                import_from="bnadapt.exchange",
                kwargs={**names, "arguments": export.parameters["network_args"] or {}},
            ),
            pytorch_version=version,
            dependencies=v0_5.FileDescr(source=folder / "environment.yaml"),
        ),
        torchscript=script.model_copy(update={"parent": "pytorch_state_dict"}),
    )


def document(export: Export) -> str:
    """The README of a package."""
    scaling, size = export.scaling, export.pixel_size_nm
    formula = ", ".join(
        f"{gain:.6g} * value + {offset:.6g}" for gain, offset in zip(scaling.gain, scaling.offset, strict=True)
    )
    return "\n\n".join(
        [
            f"# {export.parameters['network']} for {export.target}",
            f"Segments {', '.join(export.classes[1:])} in images such as those of {export.target}. {_history(export)}",
            "## Use",
            f"Give images with the values of their files. They are scaled by the fixed numbers of {export.target}"
            f" ({formula}), so that the result does not depend on how an image is cut into tiles; images of another"
            " brightness or data type need an adaptation of their own."
            + (f" Pixels are {size:g} nm wide; resample others to that." if size else ""),
            "## Validation",
            "Score it on labelled images of your own before you rely on it: adaptation helps on average, not always.",
            f"Written by bnadapt {__version__}.",
        ]
    )


def _draw(export: Export, path: Path) -> None:
    """Image and probability of the foreground."""
    from bnadapt.reports.panels import Panel, image_panel, panel_grid

    probabilities = export.expected(export.sample)[0]
    panels = {"image": image_panel(torch.from_numpy(export.sample[0]))}
    panels |= {
        name: Panel(each, "viridis", 0, 1) for name, each in zip(export.classes[1:], probabilities[1:], strict=True)
    }
    panel_grid(panels, len(panels), side=2.6).savefig(path, dpi=110)


def _scale(export: Export) -> dict[str, Any]:
    size = export.pixel_size_nm
    return {"unit": "nanometer", "scale": float(size)} if size else {}


def _cited(text: str) -> Any:
    """A citation with its DOI or address in brackets."""
    from bioimageio.spec.model import v0_5

    reference, _, where = text.removesuffix("]").rpartition("[")
    if not reference:
        raise InputError(f"export: {text!r} has no DOI or address; give it in brackets behind the text.")
    return v0_5.CiteEntry(text=reference.strip(), **({"url": where} if "://" in where else {"doi": where}))


def _history(export: Export) -> str:
    """What was changed for a target, in sentences."""
    record = export.adaptation
    if not record:
        return "It was not adapted."
    sentences = []
    if "tiles" in record:
        sentences.append(
            f"Its BatchNorm statistics were re-estimated on {record['tiles']} tiles of {export.target}, without labels."
        )
    if learning := record.get("self_training"):
        sentences.append(f"Its weights were trained on its own predictions of {learning['tiles']} tiles.")
    if tuning := record.get("finetuning"):
        sentences.append(f"It was fine-tuned ({tuning['learn']}) on {tuning['labelled_tiles']} labelled tiles.")
    if earlier := record.get("earlier"):
        sentences.append(f"Before that it had learnt from {earlier['target']}.")
    if len(sentences) == 1 and "tiles" in record:
        sentences.append("Every weight is that of the source's training.")
    return " ".join(sentences)


def _identifier(name: str) -> str:
    return "".join(each if each.isalnum() else "_" for each in name)


def _first_words(error: Exception) -> str:
    """The first invalid value, and the reason."""
    errors = getattr(error, "errors", None)
    if errors is None:
        return " ".join(str(error).split())
    first = errors()[0]
    where = ".".join(map(str, first["loc"])) or "a value"
    return f"{where} is {str(first['input'])[:60]!r}: {' '.join(first['msg'].split())[:200]}"


def _first_error(report: Any) -> str:
    return next((error.msg for detail in report.details for error in detail.errors), "it gives no reason")


@contextmanager
def _silence() -> Iterator[None]:
    """Silence warnings of the libraries, which also concern valid packages."""
    from loguru import logger

    logger.disable("bioimageio")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.enable("bioimageio")
