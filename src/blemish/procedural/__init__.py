"""Pictures made of numbers alone: noise, textures, lit shapes, scenes and the demo data set."""
