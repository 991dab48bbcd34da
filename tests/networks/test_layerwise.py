"""A run can be stopped and resumed at any layer, with the same bits as an uninterrupted run."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from networks.architectures import stylegan2, stylegan3
from networks.architectures.activations import record_outputs, run_to_layer
from networks.architectures.layerwise import LayerwiseSynthesis
from networks.config import StyleGAN2Config, StyleGAN3Config
from networks.sampling import seeded_noise

SG2 = StyleGAN2Config(img_resolution=32, z_dim=8, w_dim=8, mapping_num_layers=2, channel_base=256, channel_max=8)
SG3 = StyleGAN3Config(img_resolution=32, z_dim=8, w_dim=8, channel_base=128, channel_max=8)
NETWORKS = {
    "T": SG3,
    "R": replace(SG3, conv_kernel=1, use_radial_filters=True),
    "orig": replace(SG2, architecture="orig"),
    "skip": SG2,
    "resnet": replace(SG2, architecture="resnet"),
}


def build(name: str) -> LayerwiseSynthesis:
    torch.manual_seed(0)
    config = NETWORKS[name]
    if isinstance(config, StyleGAN3Config):
        return stylegan3.Generator(config).eval().synthesis
    return stylegan2.Generator(config).eval().synthesis


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_resuming_anywhere_gives_the_same_bits(name):
    synthesis = build(name)
    ws = torch.randn(2, synthesis.num_ws, 8)
    options = {"noise_mode": "random", "noise": seeded_noise(3)}
    states = []
    whole = synthesis(ws, **options, on_step=lambda _, state: states.append(state))
    copies = [state.x.clone() for state in states]
    for done, state in enumerate(states, start=1):
        assert torch.equal(synthesis.to_image(synthesis.run(ws, start=done, state=state, **options)), whole)
        stopped = synthesis.run(ws, stop=done, **options)
        assert torch.equal(stopped.x, state.x)
    assert all(torch.equal(state.x, copy) for state, copy in zip(states, copies, strict=True)), "a kept state changed"


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_a_late_style_change_resumes_before_its_layer(name):
    synthesis = build(name)
    ws = torch.randn(1, synthesis.num_ws, 8)
    states = []
    synthesis.run(ws, on_step=lambda _, state: states.append(state))
    for step in synthesis.steps[1:]:
        other = ws.clone()
        other[:, step.w_indices[0]] += 0.5
        start = min(s.index for s in synthesis.steps if step.w_indices[0] in s.w_indices)
        if start == 0:
            continue
        resumed = synthesis.run(other, start=start, state=states[start - 1])
        assert torch.equal(synthesis.to_image(resumed), synthesis(other))


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_steps_describe_the_shape_of_their_output(name):
    synthesis = build(name)
    for count in (1, 3):
        seen = []
        synthesis.run(torch.randn(count, synthesis.num_ws, 8), on_step=lambda step, state: seen.append((step, state)))  # noqa: B023
        assert [step for step, _ in seen] == list(synthesis.steps)
        assert [step.index for step in synthesis.steps] == list(range(len(synthesis.steps)))
        for step, state in seen:
            shown = state.image if step.is_torgb else state.x
            assert shown.shape == (count, step.channels, step.size, step.size)
            assert state.done == step.index + 1


@torch.no_grad()
def test_half_precision_is_planned_for_the_highest_resolutions_only():
    """Four resolutions of a 256-pixel network: 32 and up. A CPU runs all in float32."""
    with torch.device("meta"):
        two = stylegan2.Generator(StyleGAN2Config(img_resolution=256))
        three = stylegan3.Generator(StyleGAN3Config(img_resolution=256))
    half = {step.resolution for step in two.synthesis.steps if step.dtype == torch.float16}
    assert half == {32, 64, 128, 256}
    assert [step.dtype == torch.float16 for step in three.synthesis.steps] == [False] * 4 + [True] * 12
    synthesis = build("skip")
    assert any(step.dtype == torch.float16 for step in synthesis.steps)
    used = set()
    synthesis.run(torch.randn(1, synthesis.num_ws, 8), on_step=lambda _, state: used.add(state.x.dtype))
    assert used == {torch.float32}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="half precision is for CUDA")
@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_half_precision_on_cuda_is_close_and_can_be_forced_off(name):
    synthesis = build(name)
    ws = torch.randn(2, synthesis.num_ws, 8)
    on_cpu = synthesis(ws)
    synthesis.cuda()
    used = {}
    mixed = synthesis(ws.cuda(), on_step=lambda step, state: used.update({step.name: state.x.dtype}))
    assert all(used[step.name] == step.dtype for step in synthesis.steps if not step.is_torgb)
    scale = float(on_cpu.abs().max())
    assert float((mixed.cpu() - on_cpu).abs().max()) < 0.03 * scale  # eleven bits through many layers
    assert float((synthesis(ws.cuda(), force_fp32=True).cpu() - on_cpu).abs().max()) < 1e-3 * scale


@torch.no_grad()
def test_a_run_can_be_cancelled_between_layers():
    class Newer(Exception):
        pass

    def newer(step, _state):
        reached.append(step.name)
        if step.name == "L2_36_8":
            raise Newer

    reached, synthesis = [], build("T")
    ws = torch.randn(1, synthesis.num_ws, 8)
    before = synthesis(ws)
    with pytest.raises(Newer):
        synthesis.run(ws, on_step=newer)
    assert reached == ["input", "L0_36_8", "L1_36_8", "L2_36_8"]
    assert torch.equal(synthesis(ws), before)


@torch.no_grad()
def test_running_to_a_layer_runs_no_later_layer():
    synthesis = build("skip")
    ws = torch.randn(1, synthesis.num_ws, 8)
    with record_outputs(synthesis, ["b8.conv1", "b16.conv0"]) as seen:
        features = run_to_layer(synthesis, ws, "b8.conv1")
    assert torch.equal(features, seen["b8.conv1"])
    assert "b16.conv0" not in seen
    assert run_to_layer(synthesis, ws, "b8.torgb").shape == (1, 3, 8, 8)


def test_recording_outputs_leaves_no_hooks_behind():
    synthesis = build("skip")
    with pytest.raises(RuntimeError, match="in between"), record_outputs(synthesis, ["b8.conv1"]):
        raise RuntimeError("in between")
    with pytest.raises(ValueError, match="no part 'b9'"), record_outputs(synthesis, ["b8.conv1", "b9"]):
        pass
    assert not any(module._forward_hooks for module in synthesis.modules())


@torch.no_grad()
def test_states_that_do_not_match_are_refused():
    synthesis = build("skip")
    ws = torch.randn(2, synthesis.num_ws, 8)
    state = synthesis.run(ws, stop=2)
    with pytest.raises(ValueError, match="from step 3 was given the state after 2 steps"):
        synthesis.run(ws, start=3, state=state)
    with pytest.raises(ValueError, match="from step 2 was given no state"):
        synthesis.run(ws, start=2)
    with pytest.raises(ValueError, match="holds 2 pictures, but ws are for 1"):
        synthesis.run(ws[:1], start=2, state=state)
    with pytest.raises(ValueError, match="no layer 'b8.conv9'; it has b4.conv1"):
        run_to_layer(synthesis, ws, "b8.conv9")
    three = build("T")
    ws = torch.randn(1, three.num_ws, 8)
    with pytest.raises(ValueError, match="no picture yet after 2 of 16 steps"):
        three.to_image(three.run(ws, stop=2))
