"""Colors, fonts and spacing."""
