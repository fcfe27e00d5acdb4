"""The operator side: the `lastlogin` command."""
