"""Pictures that people look at: overlays, panels, confusion matrices and the HTML page."""
