"""What becomes of versions: their stages, the gates they pass, where they come from. Free of torch."""
