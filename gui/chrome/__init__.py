"""What surrounds the canvas: docking, menus, dialogs, messages, shortcuts."""
