"""Studies: what learning from preferences does where the truth is known, as experiments anyone can repeat."""
