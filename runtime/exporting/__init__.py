"""A model in the formats of others: ONNX, `torch.export`, and a folder for `transformers`."""
