"""What a version is worth, in figures. Torch-free."""
