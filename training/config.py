"""Training options as given on the command line, and the complete configuration resolved from them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, replace
from typing import Annotated, Any, get_args, get_type_hints

from session.fields import Choice, FieldError, Range, Record, suggest
from training.presets import PRESETS, VAE_FADING, VAE_KL, Preset, get_preset

AUGMENTATIONS = ("noaug", "ada", "fixed")
PIPES = ("blit", "geom", "color", "filter", "noise", "cutout", "bg", "bgc", "bgcf", "bgcfn", "bgcfnc")
METRICS = ("fid50k_full", "kid50k_full", "pr50k3_full", "ppl2_wend", "eqt50k_int", "eqt50k_frac", "eqr50k",
           "fid50k", "kid50k", "pr50k3", "is50k", "ppl_zfull", "ppl_wfull", "ppl_zend", "ppl_wend")  # fmt: skip

PositiveInt = Range(1, 2**31)
_MAY_BE_ZERO = ("label_dim", "freezed", "snap", "seed")  # integer fields that may be 0


@dataclass(frozen=True)
class Options(Record):
    """Command-line options; None is resolved from the preset."""

    data: Annotated[str, "Dataset: a folder or zip of pictures"]
    cfg: Annotated[str, Choice(*PRESETS), "Preset"] = "auto"
    gpus: Annotated[int, Range(1, 4096), "Processes that train together, each with a GPU of its own"] = 1
    batch: Annotated[int | None, PositiveInt, "Pictures a step, over all GPUs"] = None
    batch_gpu: Annotated[int | None, PositiveInt, "Pictures at a time on one GPU; the rest is accumulated"] = None
    gamma: Annotated[float | None, Range(0, 1e6), "Weight of R1"] = None
    cond: Annotated[bool, "Train with the dataset's labels"] = False
    mirror: Annotated[bool, "Also train with each picture mirrored"] = False
    subset: Annotated[int | None, PositiveInt, "Train with only this many pictures"] = None
    aug: Annotated[str, Choice(*AUGMENTATIONS), "Augmentation: none, adaptive, or with a fixed p"] = "ada"
    p: Annotated[float | None, Range(0, 1), "Probability of augmentation (with --aug fixed)"] = None
    target: Annotated[float | None, Range(0, 1), "Target of adaptive augmentation"] = None
    augpipe: Annotated[str, Choice(*PIPES), "Which augmentations"] = "bgc"
    resume: Annotated[str | None, "Start from a network: path, URL or run folder"] = None
    vae_kimg: Annotated[
        float, Range(0, 1e9), "Thousand pictures to begin with as a variational autoencoder, before D judges"
    ] = 0.0
    vae_d_kimg: Annotated[float, Range(0, 1e9), "Thousand pictures that D then trains alone with"] = 0.0
    vae_fade_kimg: Annotated[float, Range(0, 1e9), "Thousand pictures in which the autoencoder's loss then fades"] = 0.0
    vae_styles: Annotated[bool, "The autoencoder draws another picture of the same style (a font) than it sees"] = False
    freezed: Annotated[int, Range(0, 64), "First layers of D that do not train (Freeze-D)"] = 0
    freeze_mapping: Annotated[bool, "The mapping network does not train"] = False
    cbase: Annotated[int | None, PositiveInt, "Sets the feature maps of both networks"] = None
    cmax: Annotated[int | None, PositiveInt, "Feature maps of a layer at most"] = None
    glr: Annotated[float | None, Range(0, 1), "Learning rate of G"] = None
    dlr: Annotated[float | None, Range(0, 1), "Learning rate of D"] = None
    z_dim: Annotated[int | None, PositiveInt, "Length of z (default that of w)"] = None
    w_dim: Annotated[int | None, PositiveInt, "Length of w (default the preset's)"] = None
    map_depth: Annotated[int | None, Range(1, 256), "Layers of the mapping network"] = None
    mbstd_group: Annotated[int | None, PositiveInt, "Pictures that D compares with each other"] = None
    desc: Annotated[str | None, "Words to add to the run's name"] = None
    metrics: Annotated[str, "Metrics at each snapshot, comma-separated, or none"] = "fid50k_full"
    kimg: Annotated[float | None, Range(0, 1e9), "Train for this many thousand pictures"] = None
    tick: Annotated[float, Range(0.001, 1e9), "Thousand pictures between two lines of progress"] = 4
    snap: Annotated[int, Range(0, 2**31), "Ticks between two snapshots; 0 only at the end"] = 50
    state: Annotated[int, PositiveInt, "Ticks between two states from which a training can continue"] = 1
    seed: Annotated[int, Range(0, 2**32 - 1), "Seed of all random numbers"] = 0
    fp32: Annotated[bool, "No half precision"] = False
    grad_scale: Annotated[bool, "Scale gradients in half precision (the published runs clamp instead)"] = False
    clip_grad: Annotated[float | None, Range(1e-9, 1e9), "Longest gradient of a network"] = None
    gradient_checkpointing: Annotated[bool, "Compute layers again in the backward pass: less memory, slower"] = False
    offload_adam: Annotated[bool, "Keep Adam's state off the GPU: less of its memory, slower"] = False
    offload_ema: Annotated[bool, "Keep G_ema off the GPU: less of its memory, slower"] = False
    equivariance: Annotated[
        float, Range(0, 1e6), "Weight of a regulariser of ours, not published: pictures move as StyleGAN3's input does"
    ] = 0.0
    nobench: Annotated[bool, "Do not let cuDNN try which convolution is fastest"] = False
    allow_tf32: Annotated[bool, "Let CUDA round to TF32"] = False
    deterministic: Annotated[bool, "The same bits on a GPU too, which is slower"] = False
    workers: Annotated[int, Range(1, 256), "Threads that read pictures"] = 3
    grid: Annotated[str, "Columns x rows of fakes*.png, or auto"] = "auto"
    device: Annotated[str, "cuda, cpu, cuda:1, mps"] = "cuda"


@dataclass(frozen=True)
class DatasetInfo:
    """Properties of the dataset that the configuration depends on."""

    path: str
    name: str
    pictures: int
    resolution: int
    channels: int
    label_dim: int  # 0 without labels
    styles: bool = False  # whether dataset.json has styles


@dataclass(frozen=True)
class TrainingConfig:
    """Complete configuration of a run, written to run.yaml, training_options.json and its state files."""

    cfg: str
    network: str
    data: str
    resolution: int
    channels: int
    cond: bool
    label_dim: int
    mirror: bool
    subset: int | None
    pictures: int
    gpus: int
    batch: int
    batch_gpu: int
    gamma: float
    kimg: float
    cbase: int
    cmax: int
    latent: int  # length of w, and of z if z_dim is None
    layers: int
    map_depth: int
    mbstd_group: int
    g_lr: float
    d_lr: float
    g_reg_interval: int | None
    d_reg_interval: int | None
    style_mixing: float
    pl_weight: float
    blur: float
    blur_fade_kimg: float
    ema_kimg: float
    ema_rampup: float | None
    aug: str
    augpipe: str
    p: float
    target: float
    ada_kimg: float
    ada_interval: int
    resume: str | None
    freezed: int
    freeze_mapping: bool
    fp32: bool
    grad_scale: bool
    clip_grad: float | None
    tick: float
    snap: int
    state: int
    seed: int
    metrics: tuple[str, ...]
    nobench: bool
    allow_tf32: bool
    deterministic: bool
    workers: int
    grid: str
    device: str
    name: str  # of the run, without its number
    # Fields added by later versions; the defaults are what earlier versions did:
    gradient_checkpointing: bool = False
    offload_adam: bool = False
    offload_ema: bool = False
    equivariance: float = 0.0
    vae_kimg: float = 0.0
    vae_d_kimg: float = 0.0
    vae_fade_kimg: float = 0.0
    vae_styles: bool = False
    vae_kl: float = 0.01
    vae_fading: float = 0.0
    z_dim: int | None = None  # default: as w
    first_cutoff: float = 2.0
    first_stopband: float = 2**2.1

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TrainingConfig:
        """Parse the result of `asdict`. Raises FieldError for other versions' fields and for invalid values."""
        known = {field.name for field in fields(cls)}
        needed = {field.name for field in fields(cls) if field.default is MISSING}
        if strange := (data.keys() - known) | (needed - data.keys()):
            strange = ", ".join(sorted(str(name)[:40] for name in strange)[:5])
            raise FieldError(f"The run's configuration is of another version of this program: {strange}.")
        hints = get_type_hints(cls)
        for name, value in data.items():
            if not _is_valid(name, value, hints[name]):
                raise FieldError(f"The run's {name} cannot be {str(value)[:40]!r}; put back the run.yaml that it had.")
        if data["batch"] % (data["gpus"] * data["batch_gpu"]):
            raise FieldError("The run's batch does not divide into its rounds; put back the run.yaml that it had.")
        return cls(**{**data, "metrics": tuple(data["metrics"])})


def resolve(options: Options, dataset: DatasetInfo) -> TrainingConfig:
    """Resolve options to a complete configuration. Raises FieldError, one sentence, if they contradict each other."""
    defaults = get_preset(options.cfg)
    batch = _resolve_batch(options, defaults, dataset)
    batch_gpu = options.batch_gpu or batch // options.gpus
    if batch % options.gpus:
        raise FieldError(f"--batch is {batch}, but must be a multiple of --gpus, {options.gpus}.")
    if batch % (options.gpus * batch_gpu):
        raise FieldError(
            f"--batch is {batch}, but must be a multiple of --gpus times --batch-gpu, {options.gpus * batch_gpu}."
        )
    mbstd = options.mbstd_group or defaults.mbstd_group or min(batch // options.gpus, 4)
    if batch_gpu < mbstd or batch_gpu % mbstd:
        raise FieldError(
            f"--batch-gpu is {batch_gpu}, but must be a multiple of --mbstd-group, {mbstd}; raise it or "
            "lower --mbstd-group."
        )
    if options.cond and dataset.label_dim == 0:
        raise FieldError(f"--cond needs labels, but {dataset.path} has none in its dataset.json.")
    if dataset.channels not in (1, 3):
        raise FieldError(f"{dataset.path} has pictures of {dataset.channels} channels, but 1 or 3 can be trained.")
    size = dataset.resolution
    if size < 8 or size & (size - 1):
        raise FieldError(
            f"{dataset.path} has pictures of {size} pixels, but networks need a power of two from 8; make one with "
            "`visualizer.py dataset --resolution`."
        )
    if options.equivariance > 0 and not defaults.network.startswith("stylegan3"):
        raise FieldError(
            f"--equivariance moves the input of StyleGAN3, which --cfg {options.cfg} is not; choose stylegan3-t or "
            "stylegan3-r, or leave it out."
        )
    if options.resume is not None and options.vae_kimg > 0:
        raise FieldError("--vae-kimg is for networks that begin from nothing; leave it out with --resume.")
    if options.vae_kimg == 0 and (options.vae_d_kimg > 0 or options.vae_fade_kimg > 0 or options.vae_styles):
        raise FieldError("--vae-d-kimg, --vae-fade-kimg and --vae-styles go with --vae-kimg, which is missing.")
    if options.vae_styles and not (dataset.styles and options.cond):
        missing = "styles in dataset.json, as `visualizer.py dataset letters` writes them" if options.cond else "--cond"
        raise FieldError(f"--vae-styles needs {missing}.")
    resumed = options.resume is not None
    fmaps = defaults.fmaps if defaults.fmaps is not None else (1.0 if size >= 512 else 0.5)
    lr = 0.002 if size >= 1024 else 0.0025  # for "auto"
    rampup = None if resumed else defaults.ema_rampup
    p, target = _resolve_augmentation(options)
    config = TrainingConfig(
        cfg=options.cfg,
        network=defaults.network,
        data=dataset.path,
        resolution=size,
        channels=dataset.channels,
        cond=options.cond,
        label_dim=dataset.label_dim if options.cond else 0,
        mirror=options.mirror,
        subset=options.subset,
        pictures=dataset.pictures,
        gpus=options.gpus,
        batch=batch,
        batch_gpu=batch_gpu,
        gamma=_resolve_gamma(options, defaults, size, batch),
        kimg=defaults.kimg if options.kimg is None else options.kimg,
        cbase=options.cbase or int(fmaps * 32768),
        cmax=options.cmax or defaults.cmax,
        latent=options.w_dim or defaults.latent,
        layers=defaults.num_layers,
        map_depth=options.map_depth or defaults.map_depth,
        mbstd_group=mbstd,
        g_lr=options.glr if options.glr is not None else defaults.g_lr or lr,
        d_lr=options.dlr if options.dlr is not None else defaults.d_lr or lr,
        g_reg_interval=defaults.g_reg_interval,
        d_reg_interval=16,
        style_mixing=defaults.style_mixing,
        pl_weight=defaults.pl_weight,
        blur=0 if resumed else defaults.blur,
        blur_fade_kimg=batch * 200 / 32 if defaults.blur else 0,
        ema_kimg=defaults.ema_kimg if defaults.ema_kimg is not None else batch * 10 / 32,
        ema_rampup=rampup,
        aug=options.aug,
        augpipe=options.augpipe,
        p=p,
        target=target,
        ada_kimg=100 if resumed else 500,
        ada_interval=4,
        resume=options.resume,
        freezed=options.freezed,
        freeze_mapping=options.freeze_mapping,
        fp32=options.fp32,
        grad_scale=options.grad_scale,
        clip_grad=options.clip_grad,
        tick=options.tick,
        snap=options.snap,
        state=options.state,
        seed=options.seed,
        metrics=parse_metrics(options.metrics),
        nobench=options.nobench,
        allow_tf32=options.allow_tf32,
        deterministic=options.deterministic,
        workers=options.workers,
        grid=_check_grid(options.grid),
        device=options.device,
        name="",
        gradient_checkpointing=options.gradient_checkpointing,
        offload_adam=options.offload_adam,
        offload_ema=options.offload_ema,
        equivariance=options.equivariance,
        vae_kimg=options.vae_kimg,
        vae_d_kimg=options.vae_d_kimg,
        vae_fade_kimg=options.vae_fade_kimg,
        vae_styles=options.vae_styles,
        vae_kl=VAE_KL,
        vae_fading=VAE_FADING,
        z_dim=options.z_dim,
        first_cutoff=defaults.first_cutoff,
        # With the paper's ratio of stopband to cutoff, a higher cutoff would need twice the sampling rate, and four
        # times the time.
        first_stopband=2**2.1 if defaults.first_cutoff == 2 else defaults.first_cutoff * 2**0.4,
    )
    return replace(config, name=make_run_name(options, config, dataset))


def suggest_gamma(resolution: int, batch: int) -> float:
    """Return StyleGAN2-ADA's heuristic R1 weight of "auto": proportional to pixels / batch."""
    return 0.0002 * resolution**2 / batch


def make_run_name(options: Options, config: TrainingConfig, dataset: DatasetInfo) -> str:
    """Return a run's name after its number, in the format of StyleGAN3 or StyleGAN2-ADA, whichever has the preset."""
    if get_preset(config.cfg).run_name_style == "sg3":
        words = [config.cfg, dataset.name, f"gpus{config.gpus}", f"batch{config.batch}", f"gamma{config.gamma:g}"]
    else:
        words = [dataset.name]
        words += ["cond"] * config.cond
        words += [f"subset{config.subset}"] * (config.subset is not None)
        words += ["mirror"] * config.mirror
        words += [f"auto{config.gpus}" if config.cfg == "auto" else config.cfg]
        words += [f"gamma{config.gamma:g}"] * (options.gamma is not None)
        words += [f"kimg{config.kimg:g}"] * (options.kimg is not None)
        words += [f"batch{config.batch}"] * (options.batch is not None)
        words += [config.aug] * (config.aug != "ada")
        words += [f"p{config.p:g}"] * (config.aug == "fixed")
        words += [f"target{config.target:g}"] * (options.target is not None)
        words += [config.augpipe] * (config.augpipe != "bgc")
        words += ["resumecustom"] * (config.resume is not None)
        words += [f"freezed{config.freezed}"] * (config.freezed > 0)
    if options.desc:
        words.append(options.desc)
    return re.sub(r"[^\w.+-]", "_", "-".join(words))


def parse_metrics(text: str) -> tuple[str, ...]:
    """Parse `fid50k_full,kid50k_full`, or `none`. Raises FieldError for an unknown metric."""
    names = tuple(part.strip() for part in text.split(",") if part.strip() and part.strip() != "none")
    for name in names:
        if name not in METRICS:
            raise FieldError(f"--metrics asks for {name!r}: {suggest(name, METRICS)}")
    return names


def _is_valid(name: str, value: Any, hint: Any) -> bool:
    """Whether a value is valid for a field of TrainingConfig."""
    if name == "metrics":
        return isinstance(value, (list, tuple)) and all(metric in METRICS for metric in value)
    kinds = get_args(hint) or (hint,)
    if type(value) not in kinds and not (type(value) is int and float in kinds):
        return False
    if type(value) in (int, float):
        least = 1 if int in kinds and name not in _MAY_BE_ZERO else 0
        return least <= value < 2**40
    choices = {"cfg": tuple(PRESETS), "network": [line.network for line in PRESETS.values()], "aug": AUGMENTATIONS,
               "augpipe": PIPES}  # fmt: skip
    return name not in choices or value in choices[name]


def _resolve_batch(options: Options, defaults: Preset, dataset: DatasetInfo) -> int:
    if options.batch is not None:
        return options.batch
    if defaults.batch is not None:
        return defaults.batch
    if options.cfg != "auto":
        raise FieldError(f"--batch is missing: --cfg {options.cfg} needs it (32 is usual on one GPU).")
    return max(min(options.gpus * min(4096 // dataset.resolution, 32), 64), options.gpus)


def _resolve_gamma(options: Options, defaults: Preset, resolution: int, batch: int) -> float:
    if options.gamma is not None:
        return options.gamma
    if defaults.gamma is not None:
        return defaults.gamma
    if options.cfg in ("stylegan3-t", "stylegan3-r", "stylegan2"):
        raise FieldError(
            f"--gamma is missing: --cfg {options.cfg} needs it; for {resolution} pixels and a batch of {batch}, try "
            f"{suggest_gamma(resolution, batch):g}, twice and half of it."
        )
    return suggest_gamma(resolution, batch)


def _resolve_augmentation(options: Options) -> tuple[float, float]:
    """Return the initial p, and ADA's target."""
    if options.p is not None and options.aug != "fixed":
        raise FieldError("--p is for --aug fixed; with adaptive augmentation choose --target.")
    if options.target is not None and options.aug != "ada":
        raise FieldError("--target is for --aug ada; with a fixed probability choose --p.")
    if options.aug == "fixed":
        # StyleGAN3's train.py has a default here, StyleGAN2-ADA's requires --p.
        if options.p is None and get_preset(options.cfg).run_name_style == "ada":
            raise FieldError("--aug fixed needs --p, the probability of augmentation.")
        return 0.2 if options.p is None else options.p, 0.6
    return 0.0, 0.6 if options.target is None else options.target


def _check_grid(text: str) -> str:
    if text != "auto" and not re.fullmatch(r"[1-9]\d{0,2}x[1-9]\d{0,2}", text):
        raise FieldError(f"--grid is {text!r}, but must be columns x rows like 8x4, or auto.")
    return text
