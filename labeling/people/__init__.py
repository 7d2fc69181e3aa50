"""Who works here: groups and their rights, accounts, invitations."""
