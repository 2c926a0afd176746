"""The priors file: what is known of a product's defects before any was seen."""
