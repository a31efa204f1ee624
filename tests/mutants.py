"""Seeded faults, each with a test that fails for it: `make mutants`, or `python tests/mutants.py PART_OF_A_PATH ...`.

Every mutant is put into a copy of the repository, in a process forked from one that has imported the libraries, and the
test that is named beside it runs there. One that passes all the same protects nothing: the mutant has survived. A
mutant whose text does not occur exactly once is stale; mend it, or take it out with what it stood for.
"""

import io
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
COPIED = ("bnadapt", "tests", "configs", "docs", "README.md", "CONTRIBUTING.md", "pyproject.toml")
LIBRARIES = ("pytest", "hypothesis", "lightning.pytorch.cli", "torch.utils.tensorboard", "torchmetrics", "pandas")
LIBRARIES += ("matplotlib.figure", "skimage.transform", "scipy.stats", "zarr", "h5py", "tifffile", "imageio.v3")


class Mutant(NamedTuple):
    """A fault.

    Attributes:
        path: file below `bnadapt`.
        old: text in it.
        new: what takes its place.
        test: file below `tests` and name of a test that fails then.
    """

    path: str
    old: str
    new: str
    test: str


MUTANTS = [
    # Statistics
    Mutant(
        "batchnorm/moments.py",
        " + weight * (1 - weight) * distance**2",
        "",
        "batchnorm/test_moments.py::test_moments_are_those_of_all_values_whatever_the_partition",
    ),
    Mutant(
        "batchnorm/moments.py",
        "variance = excess.mean(0)",
        "variance = excess.sum(0) / max(len(means) - 1, 1)",
        "batchnorm/test_moments.py::test_moments_are_those_of_all_values_whatever_the_partition",
    ),
    Mutant(
        "batchnorm/moments.py",
        "(self.spread[0] / (self.tiles - 1) / variance).sqrt()",
        "(self.spread[0] / self.tiles / variance).sqrt()",
        "batchnorm/test_moments.py::test_the_standard_errors_of_two_tiles_by_hand",
    ),
    Mutant(
        "batchnorm/isolation.py",
        "module.training = mode",
        "pass",
        "batchnorm/test_functional.py::test_only_running_means_and_variances_change",
    ),
    Mutant(
        "batchnorm/isolation.py",
        "            random.setstate(states[1])\n",
        "",
        "batchnorm/test_isolation.py::test_numbers_that_a_network_draws_do_not_change_those_that_come_after",
    ),
    Mutant(
        "batchnorm/watching.py",
        "    finally:\n        for each in hooks:\n            each.remove()",
        "    except ZeroDivisionError:\n        pass",
        "batchnorm/test_watching.py::test_no_hook_stays",
    ),
    Mutant(
        "batchnorm/bank.py",
        "            yield\n        finally:\n            _restore(network, before)",
        "            yield\n        except ZeroDivisionError:\n            _restore(network, before)",
        "batchnorm/test_bank.py::test_its_own_statistics_come_back_after_an_exception",
    ),
    Mutant(
        "batchnorm/policy.py",
        'source[0] if self.statistics == "variance" else mean',
        'source[0] if self.statistics == "mean" else mean',
        "batchnorm/test_policy.py::test_mean_or_variance_alone",
    ),
    Mutant(
        "batchnorm/policy.py",
        "chosen = matching[slice(*self.depth)]",
        "chosen = matching",
        "batchnorm/test_policy.py::test_layers_are_chosen_by_name_and_depth",
    ),
    Mutant(
        "batchnorm/class_moments.py",
        "(self.variance[layer] + (self.mean[layer] - mean).square())",
        "self.variance[layer]",
        "batchnorm/test_class_moments.py::test_an_affine_shift_and_other_proportions_are_told_apart",
    ),
    Mutant(
        "batchnorm/proportions.py",
        "if _between(*halves) <= _between(best, source) / 2:",
        "if _between(*halves) <= 9:",
        "batchnorm/test_proportions.py::test_halves_of_the_tiles_that_disagree_are_not_acted_on",
    ),
    Mutant(
        "batchnorm/proportions.py",
        "if reason is None and tiles < FEWEST_TILES:",
        "if reason is None and tiles < 0:",
        "batchnorm/test_proportions.py::test_few_tiles_are_not_acted_on",
    ),
    Mutant(
        "batchnorm/stopping.py",
        "return max(map(max, errors))",
        "return min(map(max, errors))",
        "batchnorm/test_stopping.py::test_the_worst_layer_decides",
    ),
    # Distances
    Mutant(
        "distances/gaussian.py",
        "centred.mT @ centred / samples",
        "centred.mT @ centred / (samples - 1)",
        "distances/test_gaussian.py::test_covariances_have_the_divisor_n",
    ),
    Mutant(
        "distances/measures.py",
        "return pair.along_axes[:, pair.source.width :].square().mean(1).sqrt()",
        "return pair.along_axes.square().mean(1).sqrt()",
        "distances/test_measures.py::test_a_wide_channel_among_many_counts_along_the_directions_alone",
    ),
    Mutant(
        "distances/histograms.py",
        "return 2 * (source.bins.edges.diff(dim=1) * between).sum(2)",
        "return (source.bins.edges.diff(dim=1) * between).sum(2)",
        "distances/test_histograms.py::test_energy_agrees_with_scipy",
    ),
    # Data
    Mutant(
        "data/domain.py",
        '"test": slice(second + gap if second else 0, count)',
        '"test": slice(second, count)',
        "data/test_domains.py::test_blocks_are_contiguous_and_apart",
    ),
    Mutant(
        "data/domain.py",
        "return [section.without_mask() for section in sections]",
        "return sections",
        "data/test_domains.py::test_what_adaptation_reads_has_no_masks",
    ),
    Mutant(
        "data/domain.py",
        'sections = sections + self.block("train")',
        "sections = sections + self.labelled()",
        "data/test_domains.py::test_what_adaptation_reads_has_no_masks",
    ),
    Mutant(
        "data/prepare.py",
        "factor = zoom * (section.pixel_size_nm / pixel_size_nm if pixel_size_nm and section.pixel_size_nm else 1)",
        "factor = zoom",
        "data/test_images.py::test_sections_are_resampled_to_the_pixel_size",
    ),
    Mutant(
        "data/learnt_areas.py",
        "part.shape[:2] == (self.height, self.width) and _digest(part) == self.digest",
        "part.shape[:2] == (self.height, self.width)",
        "data/test_learnt_areas.py::test_the_same_pixels_are_left_out_under_any_name_and_others_stay",
    ),
    Mutant(
        "labels/random_tiles.py",
        "first.insert(0, tile)",
        "first.append(tile)",
        "labels/test_label_commands.py::test_a_first_tile_shows_something_to_learn",
    ),
    Mutant(
        "data/drawn_tiles.py",
        "if number // self.batch_size % processes == rank:",
        "if True:",
        "data/test_images.py::test_processes_share_drawn_tiles_batch_by_batch",
    ),
    Mutant(
        "data/intensity.py",
        "image = image / np.float32(np.iinfo(image.dtype).max)",
        "image = image / np.float32(255)",
        "data/test_images.py::test_intensities",
    ),
    Mutant(
        "data/pooled.py",
        "self.weights = dict(weights) if weights else dict.fromkeys(self.domains, 1.0)",
        "self.weights = dict.fromkeys(self.domains, 1.0)",
        "data/test_pooled.py::test_crops_are_drawn_in_equal_parts_or_by_weight",
    ),
    Mutant(
        "data/readers/images.py",
        "image_format_or_png(path).read_mask(path)",
        "image_format_or_png(path).read(path)",
        "data/test_readers.py::test_an_indexed_tiff_mask_gives_its_indices",
    ),
    Mutant(
        "data/readers/stacks.py",
        "volume_format(path).open_masks",
        "volume_format(path).open",
        "data/test_readers.py::test_a_stack_of_masks_keeps_its_values",
    ),
    Mutant(
        "data/formats/mrc.py",
        "header.origin = tuple(10 * axes[letter].start for letter in",
        "header.origin = tuple(axes[letter].start for letter in",
        "data/test_geometry.py::test_mrc_keeps_axes_size_and_place",
    ),
    Mutant(
        "data/writers.py",
        "shape = [*section.shape[:across], self.count, *section.shape[across:]]",
        "shape = [self.count, *section.shape]",
        "data/test_writers.py",
    ),
    # Networks, training, scores
    Mutant(
        "networks/trust.py",
        "return name == requested or not is_import_path(name)",
        "return True",
        "networks/test_trust.py::test_what_a_file_may_not_name_is_refused",
    ),
    Mutant(
        "networks/receptive_field.py",
        "ReceptiveField(max(0, last_before - middle + 1, middle - first_at), stride)",
        "ReceptiveField(max(0, middle - first_at), stride)",
        "networks/test_receptive_field.py::test_small_networks_have_the_field_of_their_layers",
    ),
    Mutant(
        "tasks/metrics.py",
        "ignore_index=IGNORED, ",
        "",
        "tasks/test_metrics.py::test_pixels_without_a_label_do_not_count",
    ),
    Mutant(
        "tasks/metrics.py",
        "values[1] for name, values in scores.items()",
        "values.mean() for name, values in scores.items()",
        "tasks/test_metrics.py::test_scores_are_those_of_all_pixels_of_the_foreground",
    ),
    # Recommendation
    Mutant(
        "gain/prediction.py",
        "expected[best].gain > expected[DEFAULT].gain + MARGIN",
        "expected[best].gain > expected[DEFAULT].gain",
        "gain/test_verdict.py::test_the_default_is_taken_unless_another_is_clearly_better",
    ),
    Mutant(
        "gain/prediction.py",
        "if prediction.is_suspected or (prediction.choice == DEFAULT and helped <= SELDOM):",
        "if prediction.choice == DEFAULT and helped <= SELDOM:",
        "gain/test_verdict.py::test_images_that_may_be_inverted_are_left_to_a_person",
    ),
    Mutant(
        "gain/prediction.py",
        "return self.adapted_width >= THINNEST",
        "return True",
        "gain/test_verdict.py::test_where_adaptation_predicts_specks_the_default_is_the_most_that_is_done",
    ),
    Mutant(
        "gain/annotation.py",
        "float(_ratio(both.sum(), either.sum()))",
        "float(torch.stack([_ratio(b, e) for b, e in zip(both, either, strict=True)]).mean())",
        "gain/test_annotation.py::test_measured_scores_are_those_of_all_tiles_together",
    ),
    Mutant(
        "data/input_change.py",
        "inverted = images if self.inverted_about is None else self.inverted_about - images",
        "inverted = images",
        "gain/test_candidates.py::test_an_input_change_is_undone_in_the_logits",
    ),
    # A few labels
    Mutant(
        "labels/statistics.py",
        "values = features[:count].float()",
        "values = features.float()",
        "labels/test_finetuning.py::test_labelled_tiles_do_not_move_the_statistics_that_they_are_seen_under",
    ),
    Mutant(
        "labels/learner.py",
        "(self.settings.pseudo_label_weight * of_pseudo + of_labels).backward()",
        "of_labels.backward()",
        "labels/test_finetuning.py::test_a_misleading_tile_does_not_undo_what_is_known_of_the_others",
    ),
    Mutant(
        "labels/self_training.py",
        "least = confidences(logits, settings.confidence)",
        "least = settings.confidence",
        "labels/test_self_training.py::test_a_class_that_is_never_sure_is_not_unlearnt",
    ),
    Mutant(
        "labels/proposal.py",
        "< ALIKE)",
        "< 9)",
        "labels/test_proposal.py::test_tiles_are_spread_disagreed_on_and_different",
    ),
    # Volumes and files
    Mutant(
        "volumes/unfinished.py",
        "if stored is not None and stored != self.run and not overwrite:",
        "if False:",
        "volumes/test_unfinished.py::test_a_run_that_is_refused_leaves_the_other_one_alone",
    ),
    Mutant(
        "volumes/objects_table.py",
        'size["volume_nm3"] = objects.pixels * math.prod(voxel)',
        'size["volume_nm3"] = objects.pixels * voxel.y**3',
        "volumes/test_objects.py::test_a_volume_has_the_objects_that_it_has_as_a_whole",
    ),
    Mutant(
        "volumes/regions.py",
        "np.minimum.at(first, whole, parts.first)",
        "first[whole] = parts.first",
        "volumes/test_objects.py::test_a_volume_has_the_objects_that_it_has_as_a_whole",
    ),
    Mutant(
        "files/writing.py",
        "if there and not overwrite:",
        "if False:",
        "volumes/test_unfinished.py::test_a_run_that_comes_when_another_one_has_ended_replaces_nothing",
    ),
    Mutant(
        "files/writing.py",
        "            _put_back(folder / name, partial / name, replaced / name)",
        "            pass",
        "test_files.py::TestAtomicFolder::test_what_was_replaced_comes_back",
    ),
    # Exchange
    Mutant(
        "exchange/fixed_scaling.py",
        "return replace(self, gain=[each / unit for each in self.gain])",
        "return self",
        "exchange/test_export.py::test_a_scaling_of_file_values_is_that_of_data_type_scaled_ones",
    ),
    # Experiments
    Mutant(
        "experiments/records.py",
        'if record["case"] != case.config:',
        "if False:",
        "experiments/test_records.py::test_a_record_of_another_case_is_not_read",
    ),
    Mutant(
        "experiments/specs.py",
        'return sha256(canonical({"schema": SCHEMA, **self.config})',
        "return sha256(canonical(self.config)",
        "experiments/test_specs.py::test_a_key_knows_the_number_of_the_schema",
    ),
    # Commands
    Mutant(
        "text.py",
        'return ACTING.sub(lambda match: match[0].encode("unicode_escape").decode(), text)',
        "return text",
        "test_text.py::test_what_acts_on_a_terminal_is_written_out",
    ),
    Mutant(
        "commands/next_command.py",
        'if option.startswith(TARGET_MASKS) and command == "predict":',
        "if False:",
        "commands/test_next_command.py::test_masks_are_kept_where_they_are_of_use",
    ),
    Mutant(
        "commands/command_line.py",
        'OPTION = re.compile("--?[A-Za-z]")',
        'OPTION = re.compile("-")',
        "commands/test_command_line.py::test_negative_numbers_are_values",
    ),
    Mutant(
        "actions/finetune.py",
        "names=(SELF_TRAINED, *RECOMMENDABLE)",
        "names=tuple(RECOMMENDABLE)",
        "labels/test_label_commands.py::test_refusals",
    ),
    Mutant(
        "commands/parser.py",
        "places = sorted(range(len(arguments)), key=lambda place: place not in config_places)",
        "places = range(len(arguments))",
        "commands/test_config_files.py::test_the_command_line_goes_before_a_config_wherever_that_stands",
    ),
    Mutant(
        "commands/refusals.py",
        "        sys.exit(2)",
        "        sys.exit(0)",
        "commands/test_parser.py::test_one_sentence_with_the_nearest_right_name",
    ),
    Mutant(
        "data/prepared_domains.py",
        "return prepare(section, domain.name, self.scalings.pixel_size_nm, scaling)",
        "return prepare(section, domain.name, self.pixel_size_nm, scaling)",
        "data/test_images.py::test_a_domain_is_listed_as_often_whatever_its_number_of_images",
    ),
    # Around the commands
    Mutant(
        "adaptation/runner.py",
        "self.source_bank = source_bank or Bank.of(network)",
        "self.source_bank = Bank.of(network)",
        "api/test_verbs.py::test_an_adapted_checkpoint_is_adapted_anew_from_the_statistics_of_its_source",
    ),
    Mutant(
        "api/adapted_network.py",
        "network = deepcopy(model.network).eval()",
        "network = model.network.eval()",
        "api/test_verbs.py::test_adapt_gives_an_adapted_copy",
    ),
    Mutant(
        "callbacks/progress.py",
        "elapsed / (self.done - self._first) * (self.steps - self.done)",
        "elapsed / self.done * (self.steps - self.done)",
        "callbacks/test_progress.py::test_what_was_done_before_a_training_was_resumed_does_not_count_for_its_speed",
    ),
    Mutant(
        "reports/latent_findings.py",
        'still = len(set(apart) & set(_apart(findings, "adapted")))',
        "still = len(apart)",
        "reports/test_latent_findings.py::test_the_answer_says_how_far_apart_and_what_adaptation_removes",
    ),
    Mutant(
        "studies/candidates/findings.py",
        "return wide.loc[:, wide.notna().mean() > OFTEN]",
        "return wide",
        "studies/test_candidates_findings.py::test_a_candidate_that_was_rarely_possible_has_no_mean",
    ),
    Mutant(
        "napari/geometry.py",
        "starts = [axis.start if axis.step_nm else 0.0 for axis in axes]",
        "starts = [0.0 for axis in axes]",
        "napari/test_reader.py::test_layers_lie_where_their_file_says",
    ),
]


def run(tests: Sequence[str], folder: Path) -> None:
    """Run tests in a copy of the repository; the process ends with pytest's status."""
    import pytest

    os.chdir(folder)
    sys.path.insert(0, str(folder))
    os.environ["PYTHONPATH"] = str(folder)
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        status = pytest.main(["-q", "-x", "-p", "no:cacheprovider", *(f"tests/{each}" for each in tests)])
    os._exit(int(status))


def status_of(tests: Sequence[str], folder: Path) -> int:
    """Exit status of pytest, in a process of its own."""
    process = multiprocessing.get_context("fork").Process(target=run, args=(tests, folder))
    process.start()
    process.join()
    return process.exitcode


def outcome(mutant: Mutant, folder: Path) -> str:
    """`killed`, or what is wrong with the mutant or its test."""
    path = folder / "bnadapt" / mutant.path
    text = path.read_text(encoding="utf-8")
    if text.count(mutant.old) != 1:
        return f"STALE: its text occurs {text.count(mutant.old)} times"
    path.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
    status = status_of([mutant.test], folder)
    path.write_text(text, encoding="utf-8")
    return {0: "SURVIVED", 1: "killed"}.get(status, f"BROKEN: pytest ended with status {status}")


def main(parts: list[str]) -> int:
    """Try the mutants whose path contains one of the parts, or all; 1 if one is not killed."""
    sys.dont_write_bytecode = True  # a file may change twice within the time that its bytecode knows
    for each in LIBRARIES:
        import_module(each)
    chosen = [each for each in MUTANTS if not parts or any(part in each.path for part in parts)]
    failed = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for each in COPIED:
            copy = shutil.copytree if (ROOT / each).is_dir() else shutil.copy
            copy(ROOT / each, folder / each)
        if status := status_of([*dict.fromkeys(each.test for each in chosen)], folder):
            print(f"Tests fail without any mutant, pytest ends with status {status}; mend them first.")
            return 1
        for each in chosen:
            started = time.perf_counter()
            found = outcome(each, folder)
            failed += found != "killed"
            print(f"{found} in {time.perf_counter() - started:.1f} s: {each.path}: {each.old.strip()!r}", flush=True)
    print(f"{len(chosen)} mutants, {failed} of them not killed")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
