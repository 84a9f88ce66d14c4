"""The words every room speaks: grids, images, anatomical terms, nodes, patients, settings, errors."""
