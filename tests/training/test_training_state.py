"""A training that was killed, stopped or spoilt ends with the very bytes of one that was left alone."""

from __future__ import annotations

import json
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import torch
from small_training import (
    begin,
    check_equal,
    command,
    finished,
    make_pictures,
    newest_snapshot,
    small_config,
    told_folder,
    train,
    wait_for_tick,
)
from soak_report import record

from gui.chrome import directory_listing
from networks import load_network
from runs.launch import stop
from runs.run_folder import RunError, RunFolder, read_lines
from runs.run_status import read_status
from training.loop import Training
from training.run.checkpoint_files import list_states, load_state, save_state

FLAGS = (
    "--cfg=stylegan2", "--device=cpu", "--batch=8", "--batch-gpu=4", "--gamma=0.05", "--cbase=128", "--cmax=8",
    "--map-depth=2", "--kimg=0.144", "--tick=0.024", "--snap=4", "--grid=4x2", "--metrics=none", "--aug=fixed",
    "--p=0.5", "--augpipe=bgcfnc", "--mirror",
)  # fmt: skip


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pictures(tmp_path_factory.mktemp("data") / "pictures")


def kill_and_continue(pictures: Path, outdir: Path, kills: int, seed: int, counts: Counter[str] | None = None) -> Path:
    """Train by the command, killed `kills` times at random moments; the run's folder when it is done."""
    moments = random.Random(seed)
    counts = Counter() if counts is None else counts
    process = command("--outdir", outdir, "--data", pictures, *FLAGS)
    folder = told_folder(process)
    for _ in range(kills):
        assert process.stdout is not None
        for line in process.stdout:  # the start-up takes seconds in which nothing could go wrong
            if line.startswith("tick"):
                break
        time.sleep(moments.uniform(0, 0.5))
        counts["kills" if process.poll() is None else "ended before the kill"] += 1
        process.kill()
        process.communicate()
        counts["while a file was written"] += any(folder.rglob(".*.part"))
        process = command("--run", folder)
        assert told_folder(process) == folder
    finished(process)
    return folder


@pytest.fixture(scope="module")
def whole(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that was left alone."""
    return kill_and_continue(pictures, tmp_path_factory.mktemp("whole"), kills=0, seed=0)


def test_two_kills_change_nothing(whole: Path, pictures: Path, tmp_path: Path) -> None:
    killed = kill_and_continue(pictures, tmp_path / "killed", kills=2, seed=random.randrange(10**6))
    check_equal(whole, killed)


@pytest.mark.soak
def test_a_hundred_kills_change_nothing(whole: Path, pictures: Path, tmp_path: Path) -> None:
    counts = Counter({"kills": 0, "while a file was written": 0, "ended before the kill": 0})
    for i in range(60):
        check_equal(whole, kill_and_continue(pictures, tmp_path / f"killed {i}", kills=2, seed=i, counts=counts))
        counts["trainings"] += 1
    assert counts["kills"] >= 100
    record("Kills of a training", 0, {**counts, "trainings that ended with other bytes, states or statistics": 0})


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"cfg": "stylegan3-t", "kimg": 0.072},
        {"cfg": "stylegan3-r", "aug": "noaug", "kimg": 0.072},
        {"grad_scale": True, "clip_grad": 1.0, "kimg": 0.072},
    ],
    ids=["stylegan2", "T", "R", "scaled and clipped"],
)
def test_a_request_to_stop_changes_nothing(pictures: Path, tmp_path: Path, options: dict) -> None:
    """Stopped in the middle of a tick, between two adjustments of augmentation."""
    config = small_config(pictures, **options)
    whole, _ = begin(tmp_path / "whole", config)
    assert train(whole, config).outcome == "done"  # type: ignore[attr-defined]
    folder, said = begin(tmp_path / "stopped", config)
    training = Training(folder, config, say=said.append)
    take = training._step

    def and_stop() -> None:
        take()
        if training.images == 56:
            stop(folder.path)

    training._step = and_stop  # type: ignore[method-assign]
    assert training.run() == "stopped"
    assert read_status(folder.path).state == "stopped"
    assert train(folder, config).outcome == "done"  # type: ignore[attr-defined]
    check_equal(whole.path, folder.path)


def test_a_kill_before_the_first_state_changes_nothing(pictures: Path, tmp_path: Path) -> None:
    """The tick has its line in stats.jsonl by then, and comes again."""
    config = small_config(pictures, kimg=0.04)
    whole, _ = begin(tmp_path / "whole", config)
    train(whole, config)
    folder, said = begin(tmp_path / "killed", config)
    (folder.path / "state").write_text("in the way")  # the first state cannot be written
    with pytest.raises(RunError):
        train(folder, config, said)
    (folder.path / "state").unlink()
    assert len(list(read_lines(folder.path / "stats.jsonl"))) == 1
    train(folder, config)
    check_equal(whole.path, folder.path)


def test_ctrl_c_says_how_to_go_on_and_changes_nothing(whole: Path, pictures: Path, tmp_path: Path) -> None:
    process = command("--outdir", tmp_path / "stopped", "--data", pictures, *FLAGS)
    folder = told_folder(process)
    wait_for_tick(process)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"--run {folder} continues" in said
    assert "Traceback" not in said
    assert "Continuing at" in finished(command("--run", folder))
    check_equal(whole, folder)


def test_a_damaged_state_gives_way_to_the_one_before(pictures: Path, tmp_path: Path) -> None:
    config = small_config(pictures)
    whole, _ = begin(tmp_path / "a", config)
    train(whole, config)
    folder, _ = begin(tmp_path / "b", config)
    train(folder, config)
    newest, before = list_states(folder.path / "state")
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 255
    newest.write_bytes(data)
    said: list[str] = []
    assert train(folder, config, said).outcome == "done"  # type: ignore[attr-defined]
    assert any("damaged" in line for line in said)
    check_equal(whole.path, folder.path)
    assert before.exists()


def test_only_the_last_two_states_are_kept_and_half_ones_never_count(tmp_path: Path) -> None:
    for images in (8, 16, 24):
        save_state(tmp_path, images, {"x": torch.full([3], images)})
    assert [path.name for path in list_states(tmp_path)] == ["state-0000000024.pt", "state-0000000016.pt"]
    (tmp_path / ".state-0000000032.pt.part").write_bytes(b"half")
    (tmp_path / "state-0000000040.pt").write_bytes(b"nothing")
    state, messages = load_state(tmp_path)
    assert state is not None and state["x"].tolist() == [24] * 3 and len(messages) == 1


def test_requests_are_repeated_where_they_were_granted(pictures: Path, tmp_path: Path) -> None:
    """A wish that came at one step comes at that step again when a kill makes the training repeat it."""
    config = small_config(pictures, aug="fixed", p=0.1, state=2)
    folder, said = begin(tmp_path, config)
    training = Training(folder, config, say=said.append)
    take = training._step

    def and_wish() -> None:
        take()
        if training.images == 48:
            folder.request(p=0.9, target="nonsense", stop="no")
        if training.images == 96:
            raise KeyboardInterrupt  # as abrupt as a kill: nothing is saved

    training._step = and_wish  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        training.run()
    assert [change["images"] for change in folder.change_log()] == [48]
    assert any("p 0.9" in line for line in said)
    folder.request(p=0.5)  # comes when the repetition is over
    seen: dict[int, float] = {}
    again = Training(folder, config, say=[].append)
    step = again._step

    def and_look() -> None:
        at = again.images
        step()
        assert again.augmentation is not None
        seen[at] = again.augmentation.p

    again._step = and_look  # type: ignore[method-assign]
    assert again.run() == "done"
    first = min(seen)
    assert first == 40 and seen[40] == 0.1
    assert seen[48] == 0.5  # both were due; the later one holds
    assert [change["p"] for change in folder.change_log()] == [0.9, 0.5]


def test_a_diverged_training_goes_back_and_goes_on(pictures: Path, tmp_path: Path) -> None:
    config = small_config(pictures)
    folder, said = begin(tmp_path, config)
    training = Training(folder, config, say=said.append)
    take, spoilt = training._step, []

    def and_spoil() -> None:
        if training.images == 104 and not spoilt:
            spoilt.append(True)
            with torch.no_grad():
                training.trainer.G.get_parameter("synthesis.b16.conv1.bias").fill_(torch.nan)
        take()

    training._step = and_spoil  # type: ignore[method-assign]
    assert training.run() == "done"
    assert any("Diverged at 0.104 kimg" in line and "back at 0.104 kimg" in line for line in said)
    assert [change["reseed"] for change in folder.change_log()] == [1]
    network = load_network(folder.path)
    assert all(value.isfinite().all() for value in network.generator.state_dict().values())
    kimgs = [line["Progress/kimg"]["mean"] for line in read_lines(folder.path / "stats.jsonl")]
    assert kimgs == sorted(set(kimgs))


def test_a_training_that_always_diverges_gives_up_with_advice(pictures: Path, tmp_path: Path) -> None:
    config = small_config(pictures)
    folder, said = begin(tmp_path, config)
    training = Training(folder, config, say=said.append)
    take = training._step

    def and_spoil() -> None:
        with torch.no_grad():
            training.trainer.G.get_parameter("synthesis.b16.conv1.bias").fill_(torch.nan)
        take()

    training._step = and_spoil  # type: ignore[method-assign]
    with pytest.raises(RunError, match="lower --glr"):
        training.run()
    assert read_status(folder.path).state == "failed"
    assert sum("Diverged" in line for line in said) == 3


@pytest.mark.skipif(sys.platform == "win32", reason="the limit on files is POSIX's")
def test_a_full_disk_ends_the_run_in_one_sentence_and_keeps_the_state(pictures: Path, tmp_path: Path) -> None:
    """The disk is played by the limit on a file's size, which refuses the write of a state just as a full disk does."""
    import resource

    config = small_config(pictures, snap=0)
    whole, _ = begin(tmp_path / "whole", config)
    train(whole, config)
    folder, said = begin(tmp_path / "full", config)
    training = Training(folder, config, say=said.append)
    take, limits = training._step, resource.getrlimit(resource.RLIMIT_FSIZE)

    def and_fill() -> None:
        take()
        if training.images == 64:
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))

    training._step = and_fill  # type: ignore[method-assign]
    try:
        with pytest.raises(RunError, match="make room, then --run continues"):
            training.run()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in list_states(folder.path / "state")] == ["state-0000000040.pt", "state-0000000008.pt"]
    assert not list((folder.path / "state").glob(".*"))
    assert train(folder, config).outcome == "done"  # type: ignore[attr-defined]
    check_equal(whole.path, folder.path)


def test_a_changed_dataset_cannot_be_continued(tmp_path: Path) -> None:
    pictures = make_pictures(tmp_path / "pictures")
    config = small_config(pictures, kimg=0.016)
    folder, _ = begin(tmp_path / "runs", config)
    train(folder, config)
    (pictures / "001.png").write_bytes((pictures / "002.png").read_bytes() + b" ")
    with pytest.raises(RunError, match="has changed"):
        train(folder, config)


def test_the_same_training_gives_the_same_bytes_and_another_seed_others(pictures: Path, tmp_path: Path) -> None:
    made = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        config = small_config(pictures, kimg=0.016, seed=seed)
        folder, _ = begin(tmp_path / name, config)
        train(folder, config)
        made.append(newest_snapshot(folder.path))
    assert made[0] == made[1] != made[2]


def test_the_folder_holds_what_peoples_scripts_read(pictures: Path, tmp_path: Path) -> None:
    config = small_config(pictures)
    folder, said = begin(tmp_path, config)
    train(folder, config, said)
    names = {path.name for path in folder.path.iterdir()}
    assert {
        "training_options.json",
        "stats.jsonl",
        "log.txt",
        "reals.png",
        "fakes_init.png",
        "fakes000000.png",
    } <= names
    assert json.loads((folder.path / "training_options.json").read_text())["batch_size"] == 8
    line = list(read_lines(folder.path / "stats.jsonl"))[0]
    expected = [
        "Loss/scores/fake",
        "Loss/scores/real",
        "Loss/signs/fake",
        "Loss/signs/real",
        "Loss/G/loss",
        "Loss/D/loss",
        "Loss/r1_penalty",
        "Loss/D/reg",
        "Loss/pl_penalty",
        "Loss/G/reg",
        "Progress/tick",
        "Progress/kimg",
        "Progress/augment",
        "Timing/total_sec",
        "Timing/sec_per_tick",
        "Timing/sec_per_kimg",
        "Timing/maintenance_sec",
        "Timing/total_hours",
        "Timing/total_days",
        "Timing/Gmain",
        "Timing/Greg",
        "Timing/Dmain",
        "Timing/Dreg",
        "Resources/cpu_mem_gb",
        "Resources/peak_gpu_mem_gb",
    ]
    assert set(expected) <= line.keys() and "timestamp" in line
    assert all(line[name].keys() == {"num", "mean", "std"} for name in expected)
    ticks = [words.split() for words in (folder.path / "log.txt").read_text().splitlines() if words.startswith("tick")]
    assert ticks[0][0::2][:4] == ["tick", "kimg", "time", "sec/tick"]
    assert read_status(folder.path).state == "done"
    assert RunFolder.open(folder.path, "train").read_description()["config"]["batch"] == 8
    assert load_network(folder.path).family == "StyleGAN2"


def test_snapshots_within_one_kimg_all_stay_and_the_newest_is_found(pictures: Path, tmp_path: Path) -> None:
    config = small_config(pictures)  # ticks end at 8, 40, 72, 104 and 112 images
    folder, _ = begin(tmp_path, config)
    train(folder, config)
    labels = ["000000", "000000_040", "000000_072", "000000_104", "000000_112"]
    snapshots = folder.path / "snapshots"
    assert [path.stem for path in sorted(snapshots.iterdir())] == [f"network-snapshot-{label}" for label in labels]
    assert [path.stem for path in sorted(folder.path.glob("fakes0*.png"))] == [f"fakes{label}" for label in labels]
    assert load_network(folder.path).path.stem == "network-snapshot-000000_112"
    assert directory_listing.newest_snapshot(folder.path) == "network-snapshot-000000_112.safetensors"
