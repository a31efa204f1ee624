"""Short commands load no library that they do without, and start without looking for garbage among imports."""

import json
import subprocess
import sys

from tests.conftest import TARGET_ALONE

NOT_USED = (
    *("albumentations", "bioimageio", "bokeh", "cv2", "dask", "distributed", "h5py", "mrcfile", "napari", "onnx"),
    *("onnxruntime", "openvino", "ot", "pandas", "pooch", "pyarrow", "segmentation_models_pytorch", "sklearn", "timm"),
    "zarr",
)
EACH = """
import gc, json, sys
from bnadapt.__main__ import run
not_used, *commands = map(json.loads, sys.argv[1:])
for command in commands:
    sys.argv[1:] = command
    run()
    assert not set(not_used) & set(sys.modules), (command[0], set(not_used) & set(sys.modules))
assert gc.isenabled() and gc.get_freeze_count() > 100_000
"""


def test_adapt_and_predict_load_what_they_use(best):
    commands = [
        ["adapt", *TARGET_ALONE, f"--ckpt_path={best}", "--output=adapted.ckpt"],
        ["predict", *TARGET_ALONE, "--ckpt_path=adapted.ckpt", "--output=masks"],
    ]
    given = map(json.dumps, [NOT_USED, *commands])
    done = subprocess.run([sys.executable, "-c", EACH, *given], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
