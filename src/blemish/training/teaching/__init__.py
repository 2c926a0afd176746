"""How categories are learned from few examples: composing training images, features, losses, calibration."""
