"""The image on screen: views, textures, tools, overlays."""
