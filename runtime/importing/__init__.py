"""From a live `nn.Module` to a spec."""
