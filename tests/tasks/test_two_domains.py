"""Methods that learn from source and target: each does what its paper says, and nothing else."""

import copy
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import Callback, seed_everything
from torch.nn import functional

from bnadapt.batchnorm import Bank, adapt
from bnadapt.commands.trainer import AdaptationTrainer
from bnadapt.data import DomainPair, Synthetic
from bnadapt.errors import InputError
from bnadapt.tasks import CellSegUDATask, DiceCrossEntropy, MeanTeacherTask, SegmentationTask, YNetTask
from bnadapt.tasks.mean_teacher import strongly_augmented

METHODS = {"ynet": YNetTask, "cellseguda": CellSegUDATask, "mean teacher": MeanTeacherTask}
NETWORK = {"network_args": {"base_channels": 4}}
OPTIMIZER = {"optimizer": lambda parameters: torch.optim.Adam(parameters, lr=0.01)}


class Losses(Callback):
    """Keeps what is logged in every step."""

    def __init__(self):
        self.logged = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.logged.append({tag: value.item() for tag, value in trainer.callback_metrics.items()})


def fitted(make, steps, target_crops=True, callbacks=(), precision=None, **options):
    seed_everything(3, verbose=False)
    task = make(**NETWORK, **OPTIMIZER, **options)
    start = {name: value.clone() for name, value in task.state_dict().items()}
    source, target = (
        Synthetic(size=48, images=6, mean=mean, seed=seed) for mean, seed in (((0.7, 0.3), 1), ((0.6, 0.2), 2))
    )
    data = DomainPair(
        source,
        target,
        intensity="dtype",
        crop_size=32,
        batch_size=4,
        crops_per_epoch=4 * steps,
        target_crops=target_crops,
    )
    trainer = AdaptationTrainer(
        max_steps=steps,
        accelerator="cpu",
        devices=1,
        precision=precision,
        logger=False,
        limit_val_batches=0,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
        callbacks=list(callbacks),
    )
    trainer.fit(task, datamodule=data)
    return task, start


def changed(task, start):
    """First parts of the names of tensors that training has changed."""
    return {name.partition(".")[0] for name, value in task.state_dict().items() if not torch.equal(value, start[name])}


@pytest.mark.parametrize(
    ("method", "parts"),
    [
        ("ynet", {"network", "reconstruction"}),
        ("cellseguda", {"network", "reconstruction", "discriminator"}),
        ("mean teacher", {"network", "student"}),
    ],
)
def test_the_loss_falls_and_all_parts_learn_in_as_many_steps_as_asked_for(method, parts):
    losses = Losses()
    task, start = fitted(METHODS[method], 30, callbacks=[losses])
    assert task.trainer.global_step == 30
    assert changed(task, start) == parts
    of_source = [logged["train/source/loss"] for logged in losses.logged]
    assert sum(of_source[-5:]) < 0.8 * sum(of_source[:5])


def test_ynet_without_reconstruction_is_the_unet_to_the_bit():
    own, start = fitted(YNetTask, 4, reconstruction_weight=0.0)
    plain, _ = fitted(SegmentationTask, 4, target_crops=False, loss=DiceCrossEntropy(cross_entropy_weight=0.0))
    for name, value in plain.network.state_dict().items():
        assert torch.equal(own.network.state_dict()[name], value), name
    assert changed(own, start) == {"network"}
    alone, _ = fitted(YNetTask, 4, target_crops=False, reconstruction_weight=0.0)
    assert all(torch.equal(each, own.network.state_dict()[name]) for name, each in alone.network.state_dict().items())


def test_ynet_reconstructs_better_with_every_step_and_drops_out_in_training_alone():
    losses = Losses()
    task, _ = fitted(YNetTask, 40, callbacks=[losses], reconstruction_weight=1.0, dropout=0.2)
    for domain in ("source", "target"):
        errors = [logged[f"train/{domain}/reconstruction"] for logged in losses.logged]
        assert sum(errors[-5:]) < 0.5 * sum(errors[:5])
    images = torch.rand(2, 1, 32, 32)
    task.eval()
    assert torch.equal(task(images), task(images))
    task.train()
    assert not torch.equal(task(images), task(images))


def test_a_step_of_cellseguda_is_that_of_the_paper():
    losses = Losses()
    seen = {}

    class First(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            seen.update(batch=batch, task=copy.deepcopy(pl_module.network), d=copy.deepcopy(pl_module.discriminator))
            seen["r"] = copy.deepcopy(pl_module.reconstruction)

    task, _ = fitted(CellSegUDATask, 1, callbacks=[First(), losses])
    source, target = (seen["task"](seen["batch"][domain]["image"]).softmax(1)[:, 1:] for domain in ("source", "target"))

    def judged(discriminator, maps, label):
        logits = discriminator(maps)
        return functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label)).item()

    (logged,) = losses.logged
    telling = judged(seen["d"], source, 0.0) + judged(seen["d"], target, 1.0)
    assert logged["train/discriminator"] == pytest.approx(telling, rel=1e-4)
    error = functional.mse_loss(seen["r"](target), seen["batch"]["target"]["image"]).item()
    assert logged["train/target/reconstruction"] == pytest.approx(error, rel=1e-4)
    # S is to convince a discriminator that has learned already
    assert logged["train/target/adversarial"] == pytest.approx(judged(task.discriminator, target, 0.0), rel=1e-4)
    assert judged(task.discriminator, source, 0.0) + judged(task.discriminator, target, 1.0) < telling


def test_without_its_weights_cellseguda_trains_the_network_as_the_source_alone_would():
    """But for the running statistics, which it keeps of both domains."""
    own, _ = fitted(CellSegUDATask, 3, adversarial_weight=0.0, reconstruction_weight=0.0)
    plain, _ = fitted(SegmentationTask, 3, target_crops=False, loss=DiceCrossEntropy(cross_entropy_weight=0.0))
    for name, value in plain.network.named_parameters():
        torch.testing.assert_close(own.network.get_parameter(name), value, rtol=1e-4, atol=1e-6)


def test_the_teacher_is_the_average_of_the_student_and_learns_nothing_itself():
    task, start = fitted(MeanTeacherTask, 1, decay=0.99)
    decay = min(0.99, 2 / 11)
    for name, student in task.student.named_parameters():
        expected = decay * start[f"network.{name}"] + (1 - decay) * student
        torch.testing.assert_close(task.network.get_parameter(name), expected)
    assert not any(parameter.requires_grad for parameter in task.network.parameters())
    for name, buffer in task.student.named_buffers():
        assert torch.equal(task.network.get_buffer(name), buffer)


def test_a_teacher_that_is_never_confident_teaches_nothing():
    losses = Losses()
    fitted(MeanTeacherTask, 2, confidence=1.1, callbacks=[losses])
    assert all(logged["train/target/consistency"] == 0 == logged["train/target/confident"] for logged in losses.logged)


def test_strong_augmentation_changes_every_image_in_its_own_way_and_keeps_its_content():
    torch.manual_seed(1)
    image = torch.nn.functional.interpolate(torch.rand(1, 1, 8, 8), size=(64, 64))
    drawn = strongly_augmented(image.expand(6, 1, 64, 64))
    assert drawn.shape == (6, 1, 64, 64)
    assert len({round(each.mean().item(), 4) for each in drawn}) == 6
    for each in drawn:
        correlation = torch.corrcoef(torch.stack([each.flatten(), image.flatten()]))[0, 1]
        assert 0.7 < correlation < 1


@pytest.mark.parametrize("method", METHODS)
def test_what_is_trained_is_adapted_like_any_network(method):
    task, _ = fitted(METHODS[method], 3)
    before = Bank.of(task.network)
    adapt(task.network.eval(), [torch.rand(4, 1, 32, 32) + 1])
    shifts = Bank.of(task.network).compared(before)
    assert len(shifts) == 18
    assert max(shift.mean for shift in shifts.values()) > 0.1


@pytest.mark.parametrize("method", METHODS)
def test_without_images_of_the_target_there_is_nothing_to_learn(method):
    with pytest.raises(InputError, match="trains on images of the target, too; give --data.target and"):
        fitted(METHODS[method], 1, target_crops=False)


def test_ynet_needs_the_parts_of_a_unet():
    with pytest.raises(InputError, match="YNetTask needs encoder and decoder of the network `unet`, and smp/fpn"):
        YNetTask(network="smp/fpn", network_args={"encoder_name": "resnet18"})


@pytest.mark.parametrize(("world_size", "precision"), [(2, "32-true"), (1, "16-mixed")])
def test_cellseguda_refuses_several_processes_and_scaled_gradients(world_size, precision, monkeypatch):
    task = CellSegUDATask(**NETWORK)
    asked = SimpleNamespace(world_size=world_size, precision=precision)
    monkeypatch.setattr(CellSegUDATask, "trainer", asked)
    with pytest.raises(InputError, match="trains in one process, in float32 or bfloat16; set --trainer.devices 1"):
        task.on_fit_start()


@pytest.mark.parametrize("method", METHODS)
def test_bfloat16_trains_all_the_same(method):
    losses = Losses()
    fitted(METHODS[method], 3, precision="bf16-mixed", callbacks=[losses])
    assert all(0 < logged["train/source/loss"] < 10 for logged in losses.logged)
