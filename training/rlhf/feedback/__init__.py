"""What people said, from every source, in the forms that are learned from. Torch-free."""
