"""The group that processes of a test form."""

from contextlib import contextmanager

import torch
from torch import distributed


@contextmanager
def process_group(rank, size, folder):
    """A gloo group of processes that meet in a folder; none leaves it before all are done, also after an error."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=size)
    try:
        yield distributed.group.WORLD
        distributed.barrier()
    finally:
        distributed.destroy_process_group()
