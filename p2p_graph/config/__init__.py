"""Options, their checks, flags, presets, recipes and options.json. No TensorFlow."""
