"""The screens of accounts and aliases."""
