"""Pictures: of a run, of what a network says of images, of its gates, of what it costs."""
