"""The pixel probe: place and values of the pixel under the cursor, as a line of text."""

from __future__ import annotations

from gui.canvas.viewport import ScreenRect
from renderer.messages import RenderResult

AWAITED = "\N{FIGURE SPACE}" * 5 + "…"  # as wide as a number
Pixel = tuple[int, int]  # x to the right, y down, from the upper left corner


def pixel_at(point: tuple[float, float], rect: ScreenRect, pixels: tuple[int, int]) -> Pixel | None:
    """The image pixel at a point of the screen; None beside the image."""
    x = int((point[0] - rect.left) / rect.width * pixels[0] // 1)
    y = int((point[1] - rect.top) / rect.height * pixels[1] // 1)
    return (x, y) if 0 <= x < pixels[0] and 0 <= y < pixels[1] else None


def text(pixel: Pixel, result: RenderResult) -> str:
    """What the status bar says of a pixel: the color of the image, the values of a feature map."""
    height, width = result.size
    if pixel[0] >= width or pixel[1] >= height:
        return ""
    place, scene = f"x {pixel[0]}  y {pixel[1]}", result.scene
    if not scene.inspect.chosen.spatial:
        return place
    parts = [place]
    values = result.readings.get("probe")
    if not scene.capture.layer and result.gpu_frame is None:
        red, green, blue = (int(number) for number in result.frame[pixel[1], pixel[0], :3])
        parts.append(f"rgb {red} {green} {blue}")
    if values is not None and len(values):
        count = 3 if scene.capture.rgb and len(values) >= 3 else 1
        first = min(scene.capture.channel, len(values) - count)
        if tuple(result.readings["probed_pixel"]) == pixel:
            shown = "  ".join(_number(float(value)) for value in values[first : first + count])
        else:  # the values of this pixel are on their way
            shown = "  ".join([AWAITED] * count)
        if scene.capture.layer:
            channels = f"channels {first}–{first + count - 1}" if count > 1 else f"channel {first}"
            parts += [scene.capture.layer, f"{channels}:  {shown}"]
        else:
            parts.append(shown)
    return "  ·  ".join(parts)


def _number(value: float) -> str:
    """Three decimals, or three digits of what is large; as wide with a minus sign as without."""
    digits = f"{abs(value):.3f}" if abs(value) < 1000 else f"{abs(value):.3g}"
    return ("\N{MINUS SIGN}" if value < 0 else "\N{FIGURE SPACE}") + digits
