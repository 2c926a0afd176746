"""One file per runtime: images in, maps out."""
