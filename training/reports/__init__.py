"""What runs came to, as pages and commands show it. No torch."""
