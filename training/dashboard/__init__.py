"""Where the loop of each project stands, and the one next step worth taking in it."""
