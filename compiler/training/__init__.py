"""The `train` section of a spec, checked: what can be known of a training without its data."""
