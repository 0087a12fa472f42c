"""batch-predict: turn a trained model into a steady supply of predictions."""

__version__ = "0.1.0"
