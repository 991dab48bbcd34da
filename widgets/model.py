"""Model: the network, its properties, and the device it runs on."""

from __future__ import annotations

from dataclasses import replace

from imgui_bundle import imgui

from gui.controls import ui
from gui.panel import Panel, PanelContext
from renderer.messages import ModelInfo
from runs import snapshot_names
from session import Model, Scene
from session.fields import Field

DEVICES = ("auto", "cpu", "cuda", "cuda:1", "mps")
MAX_NAMES = 24  # class names that are listed
WORDS = {"auto": "as the file says", "rgb": "red, green, blue", "bgr": "blue, green, red"}


def draw(value: Scene, context: PanelContext) -> Scene:
    model = ui.text(
        value.model,
        "path",
        label="Network",
        empty="demo network",
        done=lambda path: context.post_command("file.open", path),
    )
    with ui.buttons(4, full_width=True):
        ui.command_button(context, "file.open", label="Open…")
        _recents(context)
        ui.command_button(context, "file.demo", label="Demo", enabled=bool(model.path), why="The demo network is open.")
        ui.command_button(context, "file.reload", label="Reload")
    _status(context)
    info, compute = context.model, value.compute
    if ui.section("Details", open=False, meaning="What the network is, and how it is run"):
        _facts(info)
        model = _weights(model, info)
        model = ui.combo(model, "channel_order", label="Colours", words=WORDS)
        model = _pin(model, info)
        compute = ui.combo(compute, "device", choices=DEVICES, typed=True)
        compute = ui.combo(compute, "precision", words={"auto": "automatic", "float32": "float32 always"})
    if model is value.model and compute is value.compute:
        return value
    return replace(value, model=model, compute=compute)


def _recents(context: PanelContext) -> None:
    recents = [str(path) for path in context.settings.get("recents") or ()]
    if ui.button("Recent", "Networks opened before", enabled=bool(recents), why="Nothing has been opened yet."):
        imgui.open_popup("recents")
    if imgui.begin_popup("recents"):
        for path in recents:
            if imgui.selectable(f"{ui.elide_middle(path, ui.em(28))}##{path}", False)[0]:
                context.post_command("file.open", path)
            ui.register_item(f"Recent {path}")
            ui.tooltip(path)
        imgui.end_popup()


def _status(context: PanelContext) -> None:
    """Draw loading progress, the problem, or a summary of the network."""
    if context.progress is not None:
        part = context.progress.fraction
        words = context.progress.message if part is None else f"{context.progress.message}  {part:.0%}"
        available = imgui.get_content_region_avail().x
        imgui.progress_bar(-imgui.get_time() if part is None else part, (-1, imgui.get_text_line_height()), "")
        low, style = imgui.get_item_rect_min(), imgui.get_style()
        text = ui.elide_middle(words, available - 2 * style.frame_padding.x)
        item_name = (low.x + style.frame_padding.x, low.y)
        imgui.get_window_draw_list().add_text(item_name, imgui.get_color_u32(imgui.Col_.text), text)
        ui.register_item("progress")
    elif context.model is None and context.problem:
        ui.problem(context.problem)
    elif context.model is None:
        ui.hint("No network has loaded yet.")
    else:
        ui.hint(_summary(context.model))
        if context.model.note:
            ui.warning(context.model.note[:1].upper() + context.model.note[1:])


def _summary(info: ModelInfo) -> str:
    words = [info.family, f"{info.resolution} × {info.resolution}"]
    return " · ".join(words + ([f"{info.c_dim} classes"] if info.c_dim else []))


def _facts(info: ModelInfo | None) -> None:
    ui.key_value("Channels", str(info.channels) if info else "")
    ui.key_value("Parameters", f"{info.parameters / 1e6:.1f} million" if info else "")
    ui.key_value("Latent", f"z {info.z_dim},  w {info.num_ws} × {info.w_dim}" if info else "")
    ui.key_value("Classes", _classes(info) if info else "")
    ui.key_value("Layers", str(len(info.layers)) if info else "")
    file_name = info.file.replace("\\", "/").rpartition("/")[2] if info else ""
    trained = snapshot_names.parse(file_name)
    fraction = f".{trained.images:03d}" if trained and trained.images else ""
    ui.key_value("Trained", f"{trained.kimg:,}{fraction} kimg".replace(",", "\u2009") if trained else "")
    ui.key_value("File", file_name, info.file if info else "")
    ui.key_value("Runs on", info.device_name if info else "", f"{info.device_name}: {info.kernels}" if info else "")


def _classes(info: ModelInfo) -> str:
    """The number of classes, and the names of the first."""
    names = ", ".join(info.classes[:MAX_NAMES]) + (", …" if len(info.classes) > MAX_NAMES else "")
    return (f"{info.c_dim}: {names}" if names else str(info.c_dim)) if info.c_dim else "none"


def _weights(model: Model, info: ModelInfo | None) -> Model:
    only = info.weights if info else ()
    why = f"This file holds only {only[0]}." if only else "No network has loaded yet."
    return ui.combo(model, "weights", choices=only or None, enabled=len(only) > 1, why=why)


def _pin(model: Model, info: ModelInfo | None) -> Model:
    """Draw the checkbox that pins the session to the file that was read, by its SHA-256."""

    def control(field: Field, value: str) -> tuple[bool, str]:
        text = value or (info.digest if info else "")
        changed, on = imgui.checkbox(f"{text[:12] or '–'}##pin", bool(value))
        return changed, (info.digest if info else "") if on else ""

    return ui.edit(
        model,
        "digest",
        control,
        label="Pin SHA-256",
        enabled=info is not None or bool(model.digest),
        why="No network has loaded yet.",
        show=lambda field, value: value[:12] or "any file",
    )


panel = Panel("Model", Scene, draw, meaning="The network and where it runs")
