"""Defects made from normal images, to train on."""
