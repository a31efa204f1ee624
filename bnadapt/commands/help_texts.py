"""What the help of every command shows: an example, the common options, and notes."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

CHECKPOINT = "lightning_logs/default/version_0/checkpoints/best.ckpt"
SOURCE_IMAGES = "--data.source Folder --data.source.images source/images"
SOURCE = f"{SOURCE_IMAGES} --data.source.masks source/masks"
TARGET = "--data.target Folder --data.target.images target/images"
OF_SOURCE = ("data.source", "data.source.images", "data.source.masks")
OF_TARGET = ("data.target", "data.target.images")
OF_MASKED_TARGET = (*OF_TARGET, "data.target.masks")
RUNNING = ("trainer.accelerator", "trainer.precision")

DESCRIPTIONS = {
    "config": "YAML file with options; those on the command line take precedence",
    "seed_everything": "seed of everything random",
    "ckpt_path": "checkpoint of the trained network; for `fit`, of the training to resume",
    "data.source": "domain to learn from: Folder, Stack (a volume in one file), or a public set, such as VNC or Lucchi",
    "data.target": "domain to adapt to, such as Folder or Stack",
    "data.source.images": "folder, or file, of its images",
    "data.source.masks": "folder, or file, of its masks: 0 background, 255 or 1 foreground",
    "data.target.images": "folder, or file, of its images",
    "data.target.masks": "folder, or file, of its masks; scores read them, and `finetune` learns from them",
    "data.source.pixel_size_nm": "pixel size, if the files do not state it; targets are resampled to the network's",
    "model.network_args.base_channels": "channels of the U-Net's first level, 64 by default; 16 train in minutes on a"
    " CPU",
    "model.optimizer.lr": "learning rate, after --model.optimizer AdamW",
    "trainer.max_epochs": "passes of data.crops_per_epoch crops",
    "trainer.max_steps": "or training steps",
    "trainer.accelerator": "cpu or gpu; by default whatever the machine has",
    "trainer.precision": "32-true, or bf16-mixed, which is several times faster where the machine supports bfloat16; by"
    " default `fit` takes the faster, `predict` bf16-mixed where it changes almost no pixel, commands that estimate"
    " statistics bf16-mixed where the machine computes in it, others 32-true",
}
"""Help for options of Lightning, and for those that several classes have."""


OF_STUDIES = {
    "config": DESCRIPTIONS["config"],
    "yes": "run it without a config; without this option it only prints what it would do",
    "output": "folder of results; lightning_logs/studies/NAME by default",
    "networks": "folder of trained networks, which studies share; lightning_logs/studies/networks by default",
    "workers": "processes on this machine, 0 for this one alone; by default one per GPU or core",
    "scheduler": "address of a dask scheduler, such as tcp://host:8786, in place of them",
}


class Help(NamedTuple):
    """What the help of a command shows beside the command's own parameters."""

    example: str  # options of a call
    options: Sequence[str]  # dotted names of common ones
    note: str = ""


HELP: Mapping[str, Help] = {
    "fit": Help(
        f"{SOURCE} \\\n      --model.network_args.base_channels 16 --data.crop_size 128 --trainer.max_epochs 10",
        (
            *OF_SOURCE,
            "data.source.pixel_size_nm",
            "data.intensity",
            "data.crop_size",
            "data.crops_per_epoch",
            "data.batch_size",
            "model.network",
            "model.network_args.base_channels",
            "model.optimizer.lr",
            "trainer.max_epochs",
            "trainer.max_steps",
            *RUNNING,
            "seed_everything",
        ),
        "Writes best.ckpt and last.ckpt into a new version folder of lightning_logs/default; --ckpt_path last.ckpt"
        " resumes an interrupted run.",
    ),
    "recommend": Help(f"--ckpt_path {CHECKPOINT} \\\n      {TARGET}", OF_MASKED_TARGET),
    "preview": Help(
        f"--ckpt_path {CHECKPOINT} \\\n      --data.target Stack --data.target.images volume.tif",
        (*OF_TARGET, "data.adaptation_tiles", "data.tile_size", *RUNNING),
    ),
    "adapt": Help(
        f"--ckpt_path {CHECKPOINT} \\\n      {TARGET} --output adapted.ckpt",
        (*OF_TARGET, "data.adaptation_tiles", "data.tile_size", *RUNNING),
    ),
    "propose": Help(f"--ckpt_path {CHECKPOINT} \\\n      {TARGET}", (*OF_TARGET, "data.tile_size", *RUNNING)),
    "finetune": Help(
        f"--ckpt_path {CHECKPOINT} \\\n      {TARGET} --data.target.masks target/masks --labelled 5",
        (*OF_MASKED_TARGET, "data.adaptation_tiles", "data.tile_size", *RUNNING),
    ),
    "test": Help(f"--ckpt_path adapted.ckpt {TARGET} \\\n      --data.target.masks target/masks", OF_MASKED_TARGET),
    "predict": Help(
        f"--ckpt_path adapted.ckpt {TARGET} --output predictions",
        (*OF_TARGET, "data.block_size", "data.margin", "data.batch_size", *RUNNING),
    ),
    "export": Help(
        f"--ckpt_path adapted.ckpt {TARGET} --format onnx",
        OF_TARGET,
        "The exported model takes images with the values of their files, scales them by the fixed numbers of the"
        " target, and returns the probability of every class.",
    ),
    "distances": Help(
        f"--ckpt_path {CHECKPOINT} \\\n      {SOURCE_IMAGES} \\\n      {TARGET}",
        ("data.source", "data.source.images", *OF_TARGET, "data.tile_size"),
    ),
    "source_summary": Help(f"--ckpt_path old.ckpt \\\n      {SOURCE}", OF_SOURCE),
    "validate": Help(f"--ckpt_path {CHECKPOINT} \\\n      {SOURCE}", OF_SOURCE),
}


class FunctionHelp(NamedTuple):
    """Help of a command whose options are the parameters of a function."""

    module: str  # of the function, below the package
    function: str
    example: str
    note: str  # names of parameters in braces stand for their descriptions
    usage: str = "[OPTIONS]"  # behind the name of the command
    positional: Sequence[str] = ()  # parameters that are not options


STANDALONE_COMMANDS: Mapping[str, FunctionHelp] = {
    "import": FunctionHelp(
        "commands/import_network.py",
        "import_network",
        "bnadapt import weights.pth --network smp/unet --network_args.encoder_name resnet34",
        "WEIGHTS: {weights}. The checkpoint is then adapted like any other; `bnadapt export --format state_dict --like"
        " WEIGHTS` writes it back in the original format.",
        positional=("weights",),
    ),
    "objects": FunctionHelp(
        "commands/objects.py",
        "table_of_objects",
        "bnadapt objects --mask predictions/volume_mask.tif --pixel_size_nm 4 --spacing_nm 40 --min_size 50",
        "The table has a row per object: its class, where it begins and ends, its size, centroid and mean probability."
        " Connected pixels of one class are an object; the volume is read section by section.",
        "--mask MASK [OPTIONS]",
    ),
    "average": FunctionHelp(
        "commands/average.py",
        "average_segmentations",
        "bnadapt average --masks '[xy, xz, yz]'",
        "A pixel is foreground where the mean is above one half. Segmentations in other planes come from `bnadapt"
        " predict --data.target.plane xz`; those of several networks can be averaged too.",
        "--masks '[MASK, MASK]' [OPTIONS]",
    ),
}
