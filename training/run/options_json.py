"""training_options.json: a training's configuration under the names of StyleGAN2-ADA and StyleGAN3, for scripts."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from training.config import TrainingConfig
from training.networks import network_configs

GENERATOR = "z_dim", "w_dim", "channel_base", "channel_max"
RADIAL = "conv_kernel", "use_radial_filters"  # written for config R only


def to_nvidia_options(config: TrainingConfig, run_dir: Path) -> dict[str, Any]:
    """Return the content of training_options.json: NVIDIA's names, and our whole configuration under `bandlimit`."""
    network = asdict(network_configs(config)[0])
    generator = {name: network[name] for name in (*GENERATOR, *(RADIAL if network.get("use_radial_filters") else ()))}
    generator["mapping_kwargs"] = {"num_layers": config.map_depth}
    discriminator = {"channel_base": config.cbase, "channel_max": config.cmax,
                     "block_kwargs": {"freeze_layers": config.freezed},
                     "epilogue_kwargs": {"mbstd_group_size": config.mbstd_group}}  # fmt: skip
    adam = {"class_name": "torch.optim.Adam", "betas": [0, 0.99], "eps": 1e-08}
    return {
        "G_kwargs": generator,
        "D_kwargs": discriminator,
        "G_opt_kwargs": {**adam, "lr": config.g_lr},
        "D_opt_kwargs": {**adam, "lr": config.d_lr},
        "loss_kwargs": {
            "r1_gamma": config.gamma,
            "style_mixing_prob": config.style_mixing,
            "pl_weight": config.pl_weight,
            "blur_init_sigma": config.blur,
            "blur_fade_kimg": config.blur_fade_kimg,
        },
        "data_loader_kwargs": {"num_workers": config.workers},
        "training_set_kwargs": {
            "class_name": "data.Dataset",
            "path": config.data,
            "use_labels": config.cond,
            "max_size": config.subset or config.pictures,
            "xflip": config.mirror,
            "resolution": config.resolution,
            "random_seed": config.seed,
        },
        "num_gpus": config.gpus,
        "batch_size": config.batch,
        "batch_gpu": config.batch_gpu,
        "metrics": list(config.metrics),
        "total_kimg": config.kimg,
        "kimg_per_tick": config.tick,
        "image_snapshot_ticks": config.snap,
        "network_snapshot_ticks": config.snap,
        "random_seed": config.seed,
        "ema_kimg": config.ema_kimg,
        "ema_rampup": config.ema_rampup,
        "G_reg_interval": config.g_reg_interval,
        "augment_kwargs": None if config.aug == "noaug" else {"pipeline": config.augpipe},
        "ada_target": config.target if config.aug == "ada" else None,
        "augment_p": config.p,
        "ada_kimg": config.ada_kimg,
        "resume_pkl": config.resume,
        "run_dir": str(run_dir),
        "bandlimit": asdict(config),
    }
