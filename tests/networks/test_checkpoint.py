"""Opening networks: a file that cannot be opened is refused in one sentence; run folders give their newest snapshot."""

from __future__ import annotations

import json
import os
import pickle
import struct
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoint_writers import (
    TINY2,
    TINY3,
    TINY_D,
    TINY_FILES,
    generate,
    load,
    random_net,
    tiny_safetensors,
    write_nvidia,
    write_openmmlab,
)
from reference_values import DATA, NAMES
from soak_mutations import SPARE, one_sentence, worker

from networks import CheckpointError, convert, inspect_checkpoint, load_network, save_networks
from networks.architectures.stylegan2 import Generator
from networks.checkpoints.contents import Role
from networks.checkpoints.formats import read_contents
from networks.safe_pickle.file_reader import RandomAccessFile


def test_loaded_networks_are_ready_to_run(tmp_path):
    net = load(tiny_safetensors(tmp_path))
    for module in (net.G_ema, net.D):
        assert not module.training
        assert not any(parameter.requires_grad for parameter in module.parameters())
    assert len(net.digest) == 64
    assert net.path.name == "ours.safetensors"


def test_opening_a_file_does_not_change_the_random_state(tmp_path):
    path = write_openmmlab(tmp_path / "x.pth", {"G_ema": random_net(replace(TINY3, num_layers=14, filter_size=6))})
    torch.manual_seed(5)
    expected = torch.randn(3)
    torch.manual_seed(5)
    with pytest.raises(CheckpointError):  # a margin of 2 samples is not the published one
        load_network(path)
    load_network(tiny_safetensors(tmp_path))
    assert torch.equal(torch.randn(3), expected)


# What cannot be opened


def assert_refused(path: Path, kind: str, text: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        load_network(path)
    assert caught.value.kind == kind, caught.value
    assert text in str(caught.value)
    assert one_sentence(str(caught.value), path.name)
    with pytest.raises(CheckpointError):
        inspect_checkpoint(path)


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("x.png", b"\x89PNG\r\n\x1a\n" + b"\0" * 40, "is not a network file"),
        ("x.pkl", b"", "is empty"),
        ("x.pkl", b"<!DOCTYPE html><html>", "is a web page"),
        ("x.pkl", b"version https://git-lfs.github.com/spec/v1\noid", "Git LFS pointer"),
        ("x.pkl", b"\x00" * 100, "does not begin as a network file does"),
        ("x.txt", b"hello", "is not a network file"),
        ("x.pkl", pickle.dumps([1, 2, 3]), "holds no network"),
        ("x.pkl", pickle.dumps({"G": None, "D": None}), "holds no network"),
        ("x\n.pkl", b"", "x?.pkl is empty"),
    ],
)
def test_a_file_that_is_no_network_says_what_it_is(tmp_path, name, content, text):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        load_network(path)
    assert caught.value.kind == "foreign"
    assert text in str(caught.value)
    assert one_sentence(str(caught.value), path.name.replace("\n", "?"))


def test_other_peoples_archives_and_tensors_are_no_networks(tmp_path):
    archive = tmp_path / "data.zip"
    with zipfile.ZipFile(archive, "w") as target:
        target.writestr("dataset.json", "{}")
    assert_refused(archive, "foreign", "is a zip archive without a network")
    torch.save({"state_dict": {"layer.weight": torch.zeros(3)}}, tmp_path / "resnet.pth")
    assert_refused(tmp_path / "resnet.pth", "foreign", "holds no network")
    np.savez(tmp_path / "numbers.npz", x=np.zeros(3))
    assert_refused(tmp_path / "numbers.npz", "foreign", "is a zip archive without a network")
    header = json.dumps({"x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    (tmp_path / "other.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"\0" * 4)
    assert_refused(tmp_path / "other.safetensors", "foreign", "of another program")


def test_a_missing_file_is_refused_in_one_sentence(tmp_path):
    with pytest.raises(CheckpointError, match="There is no file"):
        load_network(tmp_path / "nowhere.pkl")
    with pytest.raises(CheckpointError, match="cannot be opened"):
        load_network("x\0.pkl")
    with pytest.raises(CheckpointError, match="cannot be opened"):
        load_network(tmp_path / ("x" * 300) / "x.pkl")
    with pytest.raises(CheckpointError, match="There is no home folder ~nosuchuser"):
        load_network("~nosuchuser/x.pkl")


def test_a_strange_name_cannot_break_a_sentence_or_reach_the_terminal(tmp_path):
    with pytest.raises(CheckpointError, match="There is no file") as caught:
        load_network(tmp_path / "a\n\x1b[2Jb.pkl")
    assert str(caught.value).isprintable()


def test_a_path_that_cannot_be_written_is_refused_in_one_sentence(tmp_path):
    for place in (tmp_path / ("x" * 300) / "x.safetensors", "~nosuchuser/x.safetensors"):
        with pytest.raises(CheckpointError, match="cannot be written|no home folder"):
            save_networks(place, {"G_ema": random_net(TINY3)})
        with pytest.raises(CheckpointError, match="cannot be written|no home folder"):
            convert(tiny_safetensors(tmp_path), place)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
def test_a_named_pipe_is_refused_instead_of_waited_for(tmp_path):
    os.mkfifo(tmp_path / "x.pkl")
    with pytest.raises(CheckpointError, match="is no file"):
        load_network(tmp_path / "x.pkl")


@pytest.mark.parametrize("kind", TINY_FILES)
def test_a_file_that_breaks_off_says_after_how_many_bytes(tmp_path, kind):
    path = TINY_FILES[kind](tmp_path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    assert_refused(path, "broken", f"breaks off after {len(data) * 2 // 3} bytes")


def test_a_missing_misshapen_or_superfluous_tensor_is_named(tmp_path):
    G = random_net(TINY3)
    del G.mapping.fc1.bias
    assert_refused(write_nvidia(tmp_path / "a.pkl", {"G_ema": G}), "broken", "mapping.fc1.bias of its G_ema is missing")
    G = random_net(TINY3)
    G.mapping.fc1.weight = torch.nn.Parameter(torch.zeros(3, 5))
    assert_refused(
        write_nvidia(tmp_path / "b.pkl", {"G_ema": G}), "broken", "mapping.fc1.weight of its G_ema has shape"
    )
    G = random_net(TINY3)
    G.mapping.register_buffer("surprise", torch.zeros(3))
    assert_refused(
        write_nvidia(tmp_path / "c.pkl", {"G_ema": G}), "broken", "mapping.surprise of its G_ema has no place"
    )


def test_options_that_do_not_match_the_weights_are_refused_before_large_allocations(tmp_path):
    for name, value in (("filter_size", 30), ("num_layers", 200), ("channel_max", 2**20), ("first_stopband", 1e-9)):
        G = random_net(TINY3)
        G.config = object.__new__(type(TINY3))
        for field, known in TINY3.__dict__.items():
            object.__setattr__(G.config, field, value if field == name else known)
        with pytest.raises(CheckpointError) as caught:
            load_network(write_nvidia(tmp_path / "x.pkl", {"G_ema": G}))
        assert caught.value.kind == "broken"


def test_one_stored_tensor_cannot_claim_more_weights_than_the_file_holds(tmp_path):
    """A pickle may refer to one tensor many times, but not so that the network becomes larger than the file."""
    G = random_net(replace(TINY3, w_dim=64, mapping_num_layers=64))
    shared = G.mapping.fc1.weight
    for i in range(1, 64):
        G.mapping.get_submodule(f"fc{i}").weight = shared
    assert_refused(write_nvidia(tmp_path / "x.pkl", {"G_ema": G}), "broken", "weights in")


def test_weights_of_another_dtype_are_read_as_float32(tmp_path):
    for dtype in (torch.float64, torch.float16, torch.bfloat16):
        G = random_net(TINY2)
        for module in G.modules():
            for name, parameter in list(module._parameters.items()):
                if parameter is not None:
                    module._parameters[name] = torch.nn.Parameter(parameter.to(dtype))
        net = load(write_nvidia(tmp_path / "x.pkl", {"G_ema": G}))
        assert all(value.dtype == torch.float32 for value in net.G_ema.state_dict().values())
        assert torch.equal(net.G_ema.mapping.fc0.weight, G.mapping.fc0.weight.float())


def test_transposed_weights_are_read_in_their_order(tmp_path):
    G = random_net(TINY3)
    G.mapping.fc0.weight = torch.nn.Parameter(G.mapping.fc0.weight.detach().T.contiguous().T)
    assert torch.equal(
        generate(load(write_nvidia(tmp_path / "x.pkl", {"G_ema": G})).G_ema),
        generate(random_net(TINY3)),
    )


def test_a_file_of_a_newer_version_asks_for_a_newer_program(tmp_path):
    path = tiny_safetensors(tmp_path)
    path.write_bytes(path.read_bytes().replace(b'"format_version":"1"', b'"format_version":"2"'))
    assert_refused(path, "broken", "update the program")


def test_a_file_with_only_a_discriminator_holds_no_generator(tmp_path):
    net = load(save_networks(tmp_path / "x.safetensors", {"D": random_net(TINY_D)}))
    assert inspect_checkpoint(net.path).family == "discriminator"
    with pytest.raises(CheckpointError, match="holds no generator"):
        _ = net.generator


def test_an_unknown_device_is_refused_in_one_sentence(tmp_path):
    path = tiny_safetensors(tmp_path)
    with pytest.raises(ValueError, match="choose cpu, cuda"):
        load_network(path, device="toaster")
    with pytest.raises(ValueError, match="cuda:77 was asked for"):
        load_network(path, device="cuda:77")


# Size and memory


def test_a_network_larger_than_memory_is_refused_before_it_is_made(tmp_path):
    """The file is sparse, but as long as it says: z and w of 2**17 elements make one layer of 69 GB, times 16."""
    config = replace(TINY2, z_dim=2**17, w_dim=2**17, mapping_num_layers=16)
    with torch.device("meta"):
        state = Generator(config).state_dict()
    header, at = {}, 0
    for name, value in state.items():
        size = 4 * value.numel()
        header[f"G_ema.{name}"] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": [at, at + size]}
        at += size
    configuration = json.dumps({"channel_order": "rgb", "networks": {"G_ema": config.to_dict()}})
    header["__metadata__"] = {
        "format": "bandlimit-network",
        "format_version": "1",
        "configuration": configuration,
    }
    text = json.dumps(header).encode()
    path = tmp_path / "huge.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        try:
            file.truncate(8 + len(text) + at)
        except OSError:
            pytest.skip("this file system has no room for a sparse file of a terabyte")
    with pytest.raises(CheckpointError, match=r"needs about 1099\.5 GB and .* are free") as caught:
        load_network(path)
    assert caught.value.kind == "memory"
    assert one_sentence(str(caught.value), path.name)


def test_opening_a_network_takes_no_more_memory_than_twice_its_file(tmp_path):
    """32 MB of weights, in every format; measured in a process of its own."""
    G2 = random_net(replace(TINY2, w_dim=1024, mapping_num_layers=8))
    G3 = random_net(replace(TINY3, w_dim=1024, mapping_num_layers=8, num_layers=14, margin_size=10, filter_size=6))
    folder = tmp_path / "files"
    folder.mkdir()
    write_nvidia(folder / "a.pkl", {"G_ema": G2})
    write_openmmlab(folder / "b.pth", {"G_ema": G3})
    write_openmmlab(folder / "c.pth", {"G_ema": G3}, zipped=False)
    save_networks(folder / "d.safetensors", {"G_ema": G2})
    save_networks(folder / "e.safetensors", {"G_ema": G2}, dtype=torch.float16)
    done = worker("--judge", str(folder))
    assert done.returncode == 0, done.stderr[-2000:]
    verdicts = json.loads(done.stdout.splitlines()[-1])
    for name in ("a.pkl", "b.pth", "c.pth", "d.safetensors", "e.safetensors"):
        assert verdicts[name]["kind"] == "loaded"
        assert verdicts[name]["memory"] < 2 * verdicts[name]["size"] + SPARE / 4, name


# Run folders, and files that change while open


def test_a_run_folder_gives_its_newest_snapshot(tmp_path):
    run = tmp_path / "00012-stylegan3-t"
    run.mkdir()
    for number, seed in ((0, 1), (200, 2), (1000, 3)):
        write_nvidia(run / f"network-snapshot-{number:06d}.pkl", {"G_ema": random_net(TINY3, seed)})
    os.utime(run / "network-snapshot-000000.pkl")
    net = load(run)
    assert net.path.name == "network-snapshot-001000.pkl"
    assert torch.equal(generate(net.G_ema), generate(random_net(TINY3, 3)))
    (run / "snapshots").mkdir()
    save_networks(run / "snapshots" / "network-snapshot-002000.safetensors", {"G_ema": random_net(TINY3, 4)})
    (run / "snapshots" / ".network-snapshot-003000.safetensors.77.part").write_bytes(b"half")
    assert load(run).path.name == "network-snapshot-002000.safetensors"
    assert inspect_checkpoint(run).path.name == "network-snapshot-002000.safetensors"


def test_a_run_whose_newest_snapshot_is_half_written_gives_the_one_before(tmp_path):
    write_nvidia(tmp_path / "network-snapshot-000200.pkl", {"G_ema": random_net(TINY3)})
    data = (tmp_path / "network-snapshot-000200.pkl").read_bytes()
    (tmp_path / "network-snapshot-000400.pkl").write_bytes(data[:5000])
    net = load(tmp_path)
    assert net.path.name == "network-snapshot-000200.pkl"
    assert "network-snapshot-000400.pkl is a network file, but it breaks off after 5000 bytes" in net.notes[-1]
    assert inspect_checkpoint(tmp_path).path == net.path


def test_a_run_without_snapshots_is_refused_in_one_sentence(tmp_path):
    with pytest.raises(CheckpointError, match="has no snapshot of a network yet"):
        load_network(tmp_path)


def test_a_file_that_is_replaced_while_open_gives_the_one_that_was_opened(tmp_path):
    """As our own saving replaces files: a new file is renamed over the old one."""
    path = tiny_safetensors(tmp_path)
    with RandomAccessFile(path) as file:
        contents = read_contents(file)
        save_networks(path, {"G_ema": random_net(TINY3, 99)})
        stored = contents.networks["G_ema"].tensors["mapping.fc0.weight"]
        weight = torch.empty(stored.shape)
        stored.copy_into(weight)
        file.check_unchanged()
    assert torch.equal(weight, random_net(TINY3, 3).mapping.fc0.weight)


def test_a_file_that_shrinks_or_changes_while_open_is_noticed(tmp_path):
    path = tiny_safetensors(tmp_path)
    data = path.read_bytes()
    with RandomAccessFile(path) as file:
        contents = read_contents(file)
        with path.open("r+b") as other:
            other.truncate(3000)
        with pytest.raises(CheckpointError, match="breaks off"):
            for stored in contents.networks["G_ema"].tensors.values():
                stored.copy_into(torch.empty(stored.shape))
    path.write_bytes(data)
    with RandomAccessFile(path) as file:
        with path.open("ab") as other:
            other.write(b"more")
        with pytest.raises(CheckpointError, match="changed while it was being read"):
            file.check_unchanged()


def test_the_golden_files_are_here():
    assert all((DATA / f"{name}.pkl").is_file() for name in NAMES)


def test_only_the_first_network_that_is_asked_for_is_read(tmp_path: Path) -> None:
    """A window that shows G_ema does not load G and D, but knows that the file holds them."""
    networks: dict[Role, Any] = {
        "G": random_net(TINY3, 1),
        "D": random_net(TINY_D),
        "G_ema": random_net(TINY3, 2),
    }
    path = save_networks(tmp_path / "all.safetensors", networks)
    shown = load_network(path, first_of=("G_ema", "G"))
    assert (shown.G, shown.D, shown.roles) == (None, None, ("G", "D", "G_ema"))
    assert torch.equal(generate(shown.generator), generate(networks["G_ema"]))
    assert torch.equal(generate(load_network(path, first_of=("G", "G_ema")).generator), generate(networks["G"]))
    alone = save_networks(tmp_path / "alone.safetensors", {"G": networks["G"]})
    assert torch.equal(generate(load_network(alone, first_of=("G_ema", "G")).generator), generate(networks["G"]))
