"""People: groups and their permissions, accounts, memberships, invitations, deletion of answers."""
