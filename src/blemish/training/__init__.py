"""Trains models and calibrates them."""
