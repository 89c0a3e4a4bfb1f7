"""The screens that edit the configuration file, and the steps from the draft to the running server."""
