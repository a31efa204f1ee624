"""Paths of inputs and outputs."""

from bnadapt.files.failures import refusal_of_place, refusing_place, unwritable
from bnadapt.files.paths import existing, existing_folder, printable, refuse_address, sampled_digest, sha256_of
from bnadapt.files.writing import (
    atomic_folder,
    atomic_write,
    check_outputs,
    check_writable,
    ensure_folder,
    move_all,
    refuse_existing,
    refuse_inputs,
    remove_hidden,
)

__all__ = [
    "atomic_folder",
    "atomic_write",
    "check_outputs",
    "check_writable",
    "ensure_folder",
    "existing",
    "existing_folder",
    "move_all",
    "printable",
    "refusal_of_place",
    "refuse_address",
    "refuse_existing",
    "refuse_inputs",
    "refusing_place",
    "remove_hidden",
    "sampled_digest",
    "sha256_of",
    "unwritable",
]
