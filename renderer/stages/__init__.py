"""The stages of a render: latents, cached layers, feature maps, transforms, output."""
