"""Pictures without a window: `visualizer.py render --network x.pkl --seeds 0-7 --trunc 0.7 --outdir out`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cli.flags import FieldError, Parser, add_scene_flags, apply_scene_flags, fail, parse_int_list, parse_pair
from session import Scene, Session
from session.codec import SessionError
from session.codec import load as load_session
from session.png import read_session, save_png

if TYPE_CHECKING:
    from renderer.messages import RenderResult


class RenderCommandError(RuntimeError):
    """An image cannot be rendered; one sentence."""


def main(arguments: Sequence[str]) -> int:
    options = create_parser().parse_args(arguments)
    try:
        scene, session = initial_scene(options)
        jobs = list(list_jobs(scene, options))
        render(jobs, session)
    except (FieldError, SessionError, RenderCommandError) as error:
        return fail(str(error))
    except OSError as error:
        return fail(f"{error.filename or options.outdir} cannot be written ({error.strerror}): choose another folder.")
    return 0


def create_parser() -> Parser:
    parser = Parser("visualizer.py render", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("session", nargs="?", help="a session (.yaml) or a picture saved by Bandlimit to start from")
    parser.add_argument("--network", help="path, URL or run folder; without it the session's, else the demo network")
    parser.add_argument("--seeds", type=parse_int_list, help="seeds, e.g. 0,1,4-6")
    parser.add_argument("--trunc", type=float, metavar="PSI", help="truncation psi (default 1)")
    parser.add_argument(
        "--class", dest="class_word", metavar="CLASS", help="number or name; without it, the one that each seed draws"
    )
    parser.add_argument("--noise-mode", choices=("const", "random", "none"), help="noise of StyleGAN2")
    parser.add_argument("--translate", type=parse_pair, metavar="X,Y", help="in image widths, to the right and down")
    parser.add_argument("--rotate", type=float, metavar="DEGREES", help="counter-clockwise")
    parser.add_argument("--projected-w", metavar="FILE", help=".npz or .npy with w [N, num_ws, w_dim] instead of seeds")
    parser.add_argument("--outdir", type=Path, default=Path("out"), help="folder for seed0000.png ... (default out)")
    parser.add_argument("--out", type=Path, help="one file for one picture")
    parser.add_argument("--device", help="auto, cpu, cuda, cuda:1 or mps")
    add_scene_flags(parser)
    return parser


def initial_scene(options: argparse.Namespace) -> tuple[Scene, Session]:
    """Return the scene of session and flags (flags win), and the session. Raises SessionError or FieldError."""
    session = Session()
    if options.session:
        path = Path(options.session)
        session = read_session(path) if path.suffix.lower() == ".png" else load_session(path)
    scene = session.scene
    flags = {
        "model": {"path": options.network},
        "compute": {"device": options.device},
        "latent": {"projected": options.projected_w},
        "truncation": {"psi": options.trunc},
        "noise": {"mode": options.noise_mode},
        "transform": {"rotate": options.rotate},
    }
    if options.translate:
        flags["transform"] |= {"translate_x": options.translate[0], "translate_y": options.translate[1]}
    for name, values in flags.items():
        values_given = {field: value for field, value in values.items() if value is not None}
        if values_given:
            scene = replace(scene, **{name: replace(getattr(scene, name), **values_given)})
    if options.network:
        scene = replace(scene, model=replace(scene.model, digest=""))
    if options.class_word is not None:
        number = find_class(options.class_word, apply_scene_flags(scene, options).model.path)
        scene = replace(scene, latent=replace(scene.latent, class_index=number))
    return apply_scene_flags(scene, options), session


def find_class(word: str, network: str) -> int:
    """Return the index of a class given by number or name. Raises RenderCommandError."""
    from networks import CheckpointError, inspect_checkpoint
    from networks.api import DEMO
    from networks.class_names import class_index

    try:
        return class_index(word, () if word.strip().isdecimal() else inspect_checkpoint(network or DEMO).classes)
    except (CheckpointError, ValueError) as error:
        raise RenderCommandError(str(error)) from error


def list_jobs(scene: Scene, options: argparse.Namespace) -> Iterator[tuple[Scene, Path]]:
    """Yield the scene and the output path of each image. Raises RenderCommandError."""
    projected = scene.latent.projected
    if projected and options.seeds:
        raise RenderCommandError("--seeds and --projected-w name two sources for one picture: give one of them.")
    if projected and not options.out:
        for index in range(count_projected(Path(projected))):
            latent = replace(scene.latent, projected_index=index)
            yield replace(scene, latent=latent), options.outdir / f"proj{index:02d}.png"
        return
    seeds = options.seeds if options.seeds is not None else [scene.latent.seed]
    if options.out and len(seeds) != 1:
        raise RenderCommandError(f"--out names one file, but {len(seeds)} pictures are asked for: use --outdir.")
    for seed in seeds:
        latent = replace(scene.latent, seed=seed) if options.seeds else scene.latent
        yield replace(scene, latent=latent), options.out or options.outdir / f"seed{seed:04d}.png"


def count_projected(path: Path) -> int:
    """Return the number of w in a projected file. Raises RenderCommandError."""
    from renderer.stages.latents import LatentError, read_projected

    try:
        return len(read_projected(path))
    except LatentError as error:
        raise RenderCommandError(str(error)) from error


def render(jobs: Sequence[tuple[Scene, Path]], session: Session) -> None:
    """Render each image with the window's engine and save it with its session."""
    from renderer.in_process import InProcessRenderer
    from renderer.messages import RenderFailure, RenderProgress, RenderRequest, RenderResult

    client = InProcessRenderer()
    printed: set[str] = set()
    try:
        for number, (scene, path) in enumerate(jobs):
            client.submit(RenderRequest("picture", number, scene))
            while True:
                answers = client.poll()
                for answer in answers:
                    if isinstance(answer, RenderFailure):
                        raise RenderCommandError(answer.message)
                    if isinstance(answer, RenderProgress) and answer.message not in printed:
                        printed.add(answer.message)
                        print(answer.message)
                result = next((answer for answer in answers if isinstance(answer, RenderResult)), None)
                if result:
                    break
                time.sleep(0.002)
            for line in list_remarks(result, scene):
                if line not in printed:
                    printed.add(line)
                    print(line)
            frame = result.frame if (result.frame[..., 3] != 255).any() else result.frame[..., :3]
            save_png(path, frame, replace(session, scenes=(scene,), active=0))
            class_text = shown_class(result)
            print(f"seed {scene.latent.seed}{class_text} -> {path}" if not scene.latent.projected else f"w -> {path}")
    finally:
        client.close()


def shown_class(result: RenderResult) -> str:
    """Return ", class 3" with the class name, if any, to print after the seed."""
    if result.shown_class is None:
        return ""
    names = result.model.classes
    return f", class {result.shown_class}" + (f" ({names[result.shown_class]})" if names else "")


def list_remarks(result: RenderResult, scene: Scene) -> Iterator[str]:
    """Yield remarks about the network and its classes, each to be printed once."""
    from networks.class_names import summarize

    model = result.model
    yield f"{model.name}: {model.family}, {model.resolution}x{model.resolution}, on {model.device_name}"
    if model.classes:
        yield f"Classes: {summarize(model.classes)}"
    if model.note:
        yield f"Note: {model.note}"
    if model.c_dim and scene.latent.class_index is None and not scene.latent.projected:
        yield "Without --class each seed's own class is used: the one that the seed draws after z."
